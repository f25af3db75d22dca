// Keys, theme, and the token on htmx's requests. All else is HTML from the server and works without this file.
"use strict";
try { if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme; } catch { /* no storage: the system's theme */ }
const csrf = () => document.querySelector("meta[name=csrf]").content;
const typing = (target) => target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
const toast = (text) => {
  const box = document.querySelector(".toast");
  box.textContent = text; box.classList.add("on");
  clearTimeout(toast.timer); toast.timer = setTimeout(() => box.classList.remove("on"), 1600);
};
const switchTheme = () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.theme = root.dataset.theme; } catch { /* for this page only */ }
};
const step = (by) => {
  const all = [...document.querySelectorAll("[data-step]")];
  if (!all.length) return;
  const at = all.findIndex((one) => one.hasAttribute("aria-current") || one === document.activeElement);
  const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
  next.focus({ preventScroll: true }); next.scrollIntoView({ block: "nearest" });
  if (next.hasAttribute("hx-get")) next.click();
};
let gone = 0; // when `g` was pressed
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event.target)) { if (event.key === "Escape") event.target.blur(); return; }
  if (document.querySelector("dialog[open]")) return;
  if (Date.now() - gone < 900) {
    gone = 0;
    const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (link) { location.href = link.dataset.href; return; }
  }
  if (event.key === "g") { gone = Date.now(); return; }
  if (event.key === "?") { document.querySelector("#help").showModal(); return; }
  if (event.key === "/") { const field = document.querySelector("input[type=search]"); if (field) { field.focus(); event.preventDefault(); } return; }
  if (event.key === "j" || event.key === "k") { step(event.key === "j" ? 1 : -1); return; }
  const act = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (act) { event.preventDefault(); act.click(); }
});
addEventListener("click", (event) => {
  if (event.target.closest("#theme")) switchTheme();
  if (event.target.closest("#keys")) document.querySelector("#help").showModal();
  const item = event.target.closest("[data-step][hx-get]");
  if (item) for (const one of document.querySelectorAll("[data-step]")) one === item ? one.setAttribute("aria-current", "true") : one.removeAttribute("aria-current");
});
addEventListener("change", (event) => { if (event.target.closest("form[data-auto] select")) event.target.form.requestSubmit(); });
addEventListener("htmx:configRequest", (event) => { event.detail.headers["X-CSRF"] = csrf(); });
addEventListener("htmx:responseError", (event) => { toast(event.detail.xhr.status === 403 ? "This page is too old: load it again" : "That did not work"); });
addEventListener("htmx:sendError", () => toast("The app does not answer"));
