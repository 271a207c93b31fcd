// <headrace-feedback token="..." answer="#id">: what a reader says of one answer, and does with it.
// It needs no other file, sets no cookie and reads none, and adds no inline style: a strict content policy
// has to name this server under script-src and connect-src, and nothing else.
"use strict";

(() => {
  const SERVER = new URL(document.currentScript.src).origin;
  const MOST_WORDS = 1000, SAME_QUESTION = 0.5, GLANCE_S = 5, MOST_TEXT = 10000;
  const STYLE = `
    :host { display: block; color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif;
      --line: #76828d; --text: #17212b; --muted: #55626e; --back: #ffffff; --accent: #0b6a88; --on: #ffffff; --bad: #b3261e; }
    @media (prefers-color-scheme: dark) { :host { --line: #7d8b97; --text: #e4eaee; --muted: #9dabb6;
      --back: #151d23; --accent: #62c3e0; --on: #06222c; --bad: #ff8e84; } }
    :host([hidden]), [hidden] { display: none !important; }
    .all { color: var(--text); background: var(--back); padding: 4px; }
    .row { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
    button, textarea { font: inherit; color: inherit; background: var(--back); border: 1px solid var(--line); border-radius: 6px; }
    button { display: inline-flex; gap: 6px; align-items: center; min-height: 32px; padding: 4px 12px; cursor: pointer; }
    button[aria-pressed="true"], .send { background: var(--accent); border-color: var(--accent); color: var(--on); }
    button:focus-visible, textarea:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
    form { margin-top: 8px; display: grid; gap: 8px; max-width: 36rem; }
    textarea { width: 100%; box-sizing: border-box; min-height: 5em; padding: 8px; resize: vertical; }
    svg { width: 16px; height: 16px; fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linejoin: round; }
    .said { color: var(--muted); min-height: 1.5em; } .said.failed { color: var(--bad); }
  `;
  const THUMB = "M5 7v7H2V7h3zm0 0 3-6c1.2 0 2 .8 2 2v3h3.2c.8 0 1.4.7 1.3 1.5l-.8 5c-.1.9-.8 1.5-1.7 1.5H5";

  const words = (text) => (text || "").normalize("NFKC").toLowerCase().match(/[\p{L}\p{N}]+/gu) || [];

  // Levenshtein's distance in words, by the longer text: 0 as it was, 1 nothing of it.
  const distance = (before, after) => {
    const a = words(before).slice(0, MOST_WORDS), b = words(after).slice(0, MOST_WORDS);
    if (!a.length && !b.length) return 0;
    let row = Array.from({ length: b.length + 1 }, (_, at) => at);
    a.forEach((word, i) => {
      const next = [i + 1];
      b.forEach((other, j) => {
        next.push(Math.min(row[j] + (word === other ? 0 : 1), row[j + 1] + 1, next[j] + 1));
      });
      row = next;
    });
    return row[b.length] / Math.max(a.length, b.length);
  };

  const alike = (one, other) => {
    const a = new Set(words(one)), b = new Set(words(other));
    const shared = [...a].filter((word) => b.has(word)).length;
    return shared / (a.size + b.size - shared || 1);
  };

  const make = (tag, given = {}, ...inside) => {
    const node = document.createElement(tag);
    Object.entries(given).forEach(([name, value]) => node.setAttribute(name, value));
    node.append(...inside);
    return node;
  };

  const thumb = (down) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", THUMB);
    if (down) path.setAttribute("transform", "rotate(180 8 8)");
    svg.append(path);
    return svg;
  };

  class HeadraceFeedback extends HTMLElement {
    #root = this.attachShadow({ mode: "open" });
    #thumbs = "none";
    #buttons = {};
    #seenMs = 0;
    #seenFrom = null;
    #inView = true;
    #touched = false;
    #told = {};
    #stop = null;

    connectedCallback() {
      if (!this.#root.firstChild) this.#draw();
      this.#watch();
    }

    disconnectedCallback() {
      this.#leave();
      this.#stop?.abort();
      this.#stop = null;
    }

    // What became of the answer, where the application knows: the text that was used in the end.
    used(text) {
      this.#touched = true;
      return this.#send({ edit_distance: Number(distance(this.#answer?.textContent, text).toFixed(4)) });
    }

    // The reader's next question; that of this answer stands in the attribute "question".
    asked(question) {
      const before = this.getAttribute("question");
      this.#touched = true;
      if (before === null) return Promise.resolve(false);
      if (words(before).join(" ") === words(question).join(" ")) return this.retried();
      if (alike(before, question) < SAME_QUESTION) return Promise.resolve(false);
      return this.#send({ rephrased: true });
    }

    // The same question was put again, by a button of the application.
    retried() {
      this.#touched = true;
      return this.#send({ retried: true });
    }

    get #answer() {
      const where = this.getAttribute("answer");
      return where ? document.querySelector(where) : null;
    }

    #draw() {
      const style = new CSSStyleSheet();
      style.replaceSync(STYLE);
      this.#root.adoptedStyleSheets = [style];
      const label = (name, fallback) => this.getAttribute(name) || fallback;
      const button = (way, text) => {
        const made = make("button", { type: "button", "aria-pressed": "false" }, thumb(way === "down"), text);
        made.addEventListener("click", () => this.#press(way));
        this.#buttons[way] = made;
        return made;
      };
      const title = make("span", { id: "title" }, label("label-title", "Was this answer helpful?"));
      const row = make("div", { class: "row", role: "group", "aria-labelledby": "title" }, title,
        button("up", label("label-up", "Yes")), button("down", label("label-down", "No")));
      const text = make("textarea", { id: "text", maxlength: String(MOST_TEXT) });
      const send = make("button", { type: "submit", class: "send" }, label("label-send", "Send"));
      const close = make("button", { type: "button" }, label("label-close", "Close"));
      const form = make("form", { hidden: "" },
        make("label", { for: "text" }, label("label-comment", "What was good or wrong about it? (optional)")),
        text, make("div", { class: "row" }, send, close));
      const said = make("p", { class: "said", role: "status", "aria-live": "polite" });
      form.addEventListener("submit", (event) => { event.preventDefault(); this.#comment(text, form); });
      close.addEventListener("click", () => this.#fold(form));
      form.addEventListener("keydown", (event) => {
        if (event.key === "Escape") this.#fold(form);
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#comment(text, form);
      });
      this.#root.append(make("div", { class: "all" }, row, form, said));
      Object.assign(this, { form, text, said });
    }

    async #press(way) {
      const before = this.#thumbs;
      this.#touched = true;
      this.#show(before === way ? "none" : way);
      const kept = await this.#send({ thumbs: this.#thumbs });
      if (!kept) return this.#show(before), this.#say("That could not be sent. Try again.", true);
      this.form.hidden = this.#thumbs === "none";
      this.#say(this.#thumbs === "none" ? "Taken back." : "Thank you.");
      if (!this.form.hidden) this.text.focus();
    }

    #show(way) {
      this.#thumbs = way;
      for (const [name, button] of Object.entries(this.#buttons)) button.setAttribute("aria-pressed", String(name === way));
    }

    async #comment(text, form) {
      const words = text.value.trim();
      if (!words) return this.#fold(form);
      if (!(await this.#send({ comment: words }))) return this.#say("That could not be sent. Try again.", true);
      text.value = "";
      this.#fold(form);
      this.#say("Thank you. Your comment was sent.");
    }

    #fold(form) {
      form.hidden = true;
      (this.#buttons[this.#thumbs] || this.#buttons.up).focus();
    }

    #say(words, failed = false) {
      this.said.textContent = words;
      this.said.classList.toggle("failed", failed);
    }

    // What readers do without saying it; nothing of it where the attribute "explicit" stands.
    #watch() {
      if (this.hasAttribute("explicit") || this.#stop) return;
      this.#stop = new AbortController();
      const { signal } = this.#stop, answer = this.#answer;
      document.addEventListener("visibilitychange", () => { this.#tick(); if (document.hidden) this.#leave(); }, { signal });
      window.addEventListener("pagehide", () => this.#leave(), { signal });
      document.addEventListener("copy", () => this.#copied(), { signal });
      if (answer && "IntersectionObserver" in window) {
        const seen = new IntersectionObserver(([entry]) => { this.#inView = entry.isIntersecting; this.#tick(); });
        seen.observe(answer);
        signal.addEventListener("abort", () => seen.disconnect());
      }
      this.#tick();
    }

    #copied() {
      const chosen = document.getSelection(), answer = this.#answer;
      if (!answer || !chosen || chosen.isCollapsed || !chosen.containsNode(answer, true)) return;
      this.#touched = true;
      this.#send({ copied: true });
    }

    #tick() {
      const now = performance.now();
      if (this.#seenFrom !== null) this.#seenMs += now - this.#seenFrom;
      this.#seenFrom = this.#inView && !document.hidden ? now : null;
    }

    #leave() {
      if (!this.#stop) return;
      this.#tick();
      const dwell = Math.min(Number((this.#seenMs / 1000).toFixed(1)), 86400);
      this.#send({ dwell_s: dwell, abandoned: !this.#touched && dwell < GLANCE_S });
    }

    async #send(what) {
      const news = Object.fromEntries(Object.entries(what).filter(([name, value]) => this.#told[name] !== value));
      const token = this.getAttribute("token");
      if (!token) return false;
      if (!Object.keys(news).length) return true;
      const address = `${this.getAttribute("server") || SERVER}/feedback`;
      const body = JSON.stringify({ token, ...news });
      // As text, so that browsers ask no leave first; kept alive, so that it arrives also while the page goes.
      const request = { method: "POST", body, keepalive: true, credentials: "omit", headers: { "content-type": "text/plain" } };
      const before = { ...this.#told };
      Object.assign(this.#told, news);
      try {
        const answer = await fetch(address, request);
        if (answer.ok) return true;
      } catch { /* no network: said below */ }
      this.#told = before;
      return false;
    }
  }

  if (!customElements.get("headrace-feedback")) customElements.define("headrace-feedback", HeadraceFeedback);
})();
