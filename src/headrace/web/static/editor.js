// Numbers the lines of a text that is being written, and says what keeps it from being proposed.
"use strict";

(() => {
  const form = document.querySelector("form[data-check]");
  if (!form) return;
  const text = form.elements.text, gutter = form.querySelector("[data-gutter]");
  const place = form.querySelector("[data-problems]");
  let waiting = 0, asked = 0, wrong = new Set();

  const number = () => {
    const lines = text.value.split("\n").length;
    gutter.replaceChildren(...Array.from({ length: lines }, (_, at) => {
      const line = document.createElement("span");
      line.textContent = `${at + 1}\n`;
      if (wrong.has(at + 1)) line.className = "wrong";
      return line;
    }));
    gutter.scrollTop = text.scrollTop;
  };

  const goTo = (line) => {
    const before = text.value.split("\n").slice(0, line - 1).join("\n");
    const start = before.length + (line > 1 ? 1 : 0), end = text.value.indexOf("\n", start);
    text.focus();
    text.setSelectionRange(start, end < 0 ? text.value.length : end);
    text.scrollTop = (line - 4) * parseFloat(getComputedStyle(text).lineHeight);
  };

  const said = (one) => {
    const item = document.createElement("li");
    item.className = "worse";
    if (one.line === null) item.textContent = one.text;
    else {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "link";
      button.textContent = `Line ${one.line}`;
      button.addEventListener("click", () => goTo(one.line));
      item.append(button, ` ${one.text}`);
    }
    return item;
  };

  const show = (problems) => {
    wrong = new Set(problems.map((one) => one.line).filter((line) => line !== null));
    const list = document.createElement("ul"), good = document.createElement("p");
    list.append(...problems.map(said));
    good.className = "better";
    good.textContent = "This text can be proposed.";
    place.replaceChildren(problems.length ? list : good);
    text.setAttribute("aria-invalid", String(problems.length > 0));
    number();
  };

  const check = async () => {
    const mine = ++asked;
    const answer = await fetch(form.dataset.check, {
      method: "POST", credentials: "same-origin", headers: { accept: "application/json" },
      body: new URLSearchParams({ text: text.value }),
    });
    if (answer.status === 401) return location.reload();
    const found = await answer.json();
    if (mine !== asked) return; // something was written meanwhile
    show(answer.ok ? found.problems : [{ line: null, text: found.detail }]);
  };

  text.addEventListener("input", () => {
    number();
    clearTimeout(waiting);
    asked += 1;
    waiting = setTimeout(() => check().catch(() => {}), 400);
  });
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
  number();
  if (place.querySelector("li")) check().catch(() => {});
})();
