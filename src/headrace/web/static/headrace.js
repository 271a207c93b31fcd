// Small comforts: a form is sent once, and pages that show something moving follow it.
"use strict";

(() => {
  document.addEventListener("submit", (event) => {
    // After the browser has read which button was pressed.
    setTimeout(() => event.target.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
  });
  // Coming back with the back button shows a page as it was left.
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("button:disabled").forEach((button) => { button.disabled = false; });
  });

  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  const parts = (root) => [...root.children].map((part) => part.outerHTML);
  let shown = null;

  const inUse = (part) => part.contains(document.activeElement) || part.querySelector("details[open]");

  const refresh = async () => {
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { "x-headrace-refresh": "1" }, credentials: "same-origin" });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    const before = shown, now = parts(fresh);
    shown = now;
    if (before === null) return; // what the server says now is the first thing to compare with
    if (before.length !== now.length) {
      if (!inUse(main)) main.replaceChildren(...fresh.children);
    } else {
      const arrived = [...fresh.children];
      [...main.children].forEach((part, at) => {
        if (before[at] === now[at]) return;
        if (inUse(part)) shown[at] = before[at];
        else part.replaceWith(arrived[at]);
      });
    }
    document.dispatchEvent(new Event("headrace:updated"));
  };

  setInterval(() => refresh().catch(() => {}), Number(main.dataset.refresh) * 1000);
})();
