// Asks the browser for a passkey: to make one, or to prove that it is you with one.
"use strict";

(() => {
  const WAYS = {
    make: { ask: "/security/passkey/options", answer: "/security/passkey", run: (options) =>
      navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }) },
    prove: { ask: "/security/prove/options", answer: "/security/prove/passkey", run: (options) =>
      navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }) },
  };
  const SAID = {
    NotAllowedError: "It was cancelled, or took too long. Try again.",
    InvalidStateError: "This device has a passkey for you here already.",
    SecurityError: "The browser refuses passkeys at this address. Open Headrace under its name, over HTTPS.",
  };

  const post = async (path, body) => {
    const answer = await fetch(path, {
      method: "POST", credentials: "same-origin", body: JSON.stringify(body),
      headers: { "content-type": "application/json", accept: "application/json" },
    });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) return said;
    if (answer.status === 401) location.assign("/signin?next=" + encodeURIComponent(location.pathname));
    if (said.type === "urn:headrace:problem:proof-needed") {
      location.assign("/security/prove?next=" + encodeURIComponent(location.pathname));
    }
    throw new Error(said.detail || "The server did not answer as expected. Try again.");
  };

  const run = async (form) => {
    if (!window.PublicKeyCredential || !PublicKeyCredential.parseCreationOptionsFromJSON) {
      throw new Error("This browser offers no passkeys here. They need HTTPS (or localhost) and a recent browser.");
    }
    const way = WAYS[form.dataset.passkey];
    const made = await way.run(await post(way.ask, {}));
    await post(way.answer, { answer: made.toJSON(), label: form.elements.label?.value ?? "" });
    location.assign(form.dataset.target);
  };

  document.querySelectorAll("form[data-passkey]").forEach((form) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const problem = form.parentElement.querySelector("[data-problem]");
      problem.hidden = true;
      try {
        await run(form);
      } catch (error) {
        problem.textContent = SAID[error.name] ?? error.message;
        problem.hidden = false;
        form.querySelectorAll("button").forEach((button) => { button.disabled = false; });
      }
    });
  });
})();
