import { mount, unmount } from "svelte";
import "./shared/base.css";
import App from "./App.svelte";
import { choosePlatform } from "./platform/choose";
import { reportPaint, start, tellShell } from "./shared/app";
import { chooseLanguage } from "./shared/i18n";
import { preferences } from "./shared/preferences.svelte";

const target = document.getElementById("app");
if (!target) throw new Error("index.html has no #app");

const languages = () => (preferences.language === "system" ? navigator.languages : [preferences.language]);

preferences.start();
const [platform] = await Promise.all([choosePlatform(), chooseLanguage(languages())]);
start(platform);
let app = mount(App, { target });
// Texts are read when something is drawn: another language draws everything anew. The world and the streams stay.
preferences.onLanguage = async () => {
  await chooseLanguage(languages());
  tellShell();
  await unmount(app);
  app = mount(App, { target });
};
document.getElementById("splash")?.remove();
requestAnimationFrame(() => requestAnimationFrame(reportPaint));
