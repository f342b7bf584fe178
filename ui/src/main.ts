import { mount } from "svelte";
import "./shared/base.css";
import App from "./App.svelte";
import { choosePlatform } from "./platform/choose";
import { reportPaint, start } from "./shared/app";
import { chooseLanguage } from "./shared/i18n";

const target = document.getElementById("app");
if (!target) throw new Error("index.html has no #app");

const [platform] = await Promise.all([choosePlatform(), chooseLanguage(navigator.languages)]);
start(platform);
mount(App, { target });
document.getElementById("splash")?.remove();
requestAnimationFrame(() => requestAnimationFrame(reportPaint));
