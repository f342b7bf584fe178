//! `cubby doctor`: examines, one finding after the other, and changes nothing.

use cubby_host::dirs::Dirs;
use cubby_host::doctor::{Finding, Verdict, examine};

use crate::failure::Failure;
use crate::say;

/// Fails when a finding is a failure; warnings pass.
pub async fn run(dirs: &Dirs, json: bool) -> Result<(), Failure> {
    let findings = examine(dirs).await;
    if json {
        say!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(print);
    }
    let failures = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    match failures {
        0 => Ok(()),
        _ if json => Err(Failure::silent(1)),
        n => Err(Failure::failed(format!("{n} of {} findings need attention", findings.len()))),
    }
}

fn print(finding: &Finding) {
    let sign = match finding.verdict {
        Verdict::Ok => "✓",
        Verdict::Warn => "!",
        Verdict::Fail => "✗",
    };
    say!("{sign} {:<14} {}", finding.what, finding.found);
    if let Some(remedy) = &finding.remedy {
        say!("  {:<14} → {remedy}", "");
    }
}
