// An engine's words, as a sentence that helps. What is not recognised is shown as it came.

import { t, type Key } from "./i18n";

/** First match wins. Source: the messages of moby, its registry client and the Linux kernel, which the engine keeps to. */
const RULES: readonly [RegExp, Key][] = [
  [/^on this computer: .*(no space left on device|no storage space)/i, "why.space_here"],
  [/^on this computer: .*(permission denied|read-only file system|operation not permitted)/i, "why.not_writable"],
  [/^on this computer: .*no such file or directory/i, "why.no_place"],
  [/executable file not found|unable to start container process: exec: .*no such file or directory/i, "why.no_program"],
  [/unable to start container process: exec: .*permission denied/i, "why.not_executable"],
  [/exec format error/i, "why.processor"],
  [/is already in use by container/i, "why.name_taken"],
  [/bind source path does not exist|mounts denied|path is not shared/i, "why.no_folder"],
  [/failed to lookup address|dns error|no such host|Temporary failure in name resolution|network is unreachable/i, "why.offline"],
  [/connection refused|timed? ?out|deadline exceeded/i, "why.no_answer"],
  [/certificate|x509|\btls\b/i, "why.certificate"],
  [/unauthorized|authentication required|access(?: to the resource)? (?:is )?denied|access denied|^denied\b|: denied\b|no basic auth credentials/i, "why.login"],
  [/toomanyrequests|rate limit/i, "why.rate"],
  [/manifest unknown|manifest for .* not found|repository does not exist|name unknown/i, "why.no_image"],
  [/no matching manifest|no match for platform/i, "why.platform"],
  [/no space left on device/i, "why.space"],
  [/address already in use|port is already allocated/i, "why.port"],
  [/invalid reference format/i, "why.name"],
  [/pool overlaps/i, "why.subnet"],
  [/volume is in use/i, "why.volume_used"],
  [/has active endpoints/i, "why.network_used"],
];

export function why(detail: string): string | undefined {
  const rule = RULES.find(([pattern]) => pattern.test(detail));
  return rule && t(rule[1]);
}
