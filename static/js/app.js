"use strict";
/* What HTML and htmx cannot do by themselves: keys, sliders, streams, read-outs. Every page works without it. */
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  /* Only htmx and the streams below may turn text into HTML, and only through this policy. */
  const policy = window.trustedTypes
    ? trustedTypes.createPolicy("forward-pass", { createHTML: (text) => text })
    : { createHTML: (text) => text };
  htmx.registerExtension("forward-pass", { init: (api) => api.initSecurity(policy) });

  const say = (text) => { document.getElementById("live").textContent = text; };
  const typing = (target) =>
    target.closest("input:not([type=radio]):not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");

  /* A number never holds these: they stay shortcuts while one is typed. */
  const passes = (event) => event.target.inputMode === "decimal" &&
    (["u", "p", "?"].includes(event.key) || (event.key === " " && event.target.value === ""));

  /* Keys: an element with data-key is clicked (or focused) by that key. */
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const open = document.querySelector("dialog[open]");
    if (open || (typing(event.target) && !passes(event)) || document.querySelector('[data-keys="off"]')) return;
    const name = event.key === " " ? "Space" : event.key;
    if (name === "Space" && event.target.closest("summary, button, a, input:not([inputmode]), .picture")) return;
    if (name === "Enter" && event.target.closest("summary, button, a")) return;
    const found = [...document.querySelectorAll("[data-key]")].find(
      (one) => one.dataset.key.split(" ").includes(name) && !one.disabled && one.offsetParent !== null);
    if (!found) {
      if (/^[\d.,+−-]$/.test(name)) document.getElementById("prediction")?.focus();
      return;
    }
    event.preventDefault();
    found.click();
  });

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens).showModal();
    if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
    const copier = event.target.closest("[data-copy]");
    if (copier) copy(copier);
  });

  function copy(button) {
    const shown = document.querySelector("[data-link]");
    const text = button.dataset.copy === "link" ? new URL(shown ? shown.dataset.link : location.href, location.href).href : button.dataset.copy;
    navigator.clipboard.writeText(text).then(() => say("Copied."), () => say("Copying was refused: the address bar has the link."));
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1200);
  }

  /* Sliders: the range has no name; the number beside it is what is sent. */
  const toSlider = (range, value) => (range.dataset.log ? Math.log10(value) : value);
  function prepareSlider(range) {
    const number = document.getElementById(range.dataset.slider);
    if (!number || range.dataset.ready) return;
    range.dataset.ready = "1";
    if (range.dataset.log) {
      const [low, high] = [Number(range.min), Number(range.max)];
      const whole = number.step === "1";
      range.min = Math.log10(low); range.max = Math.log10(high); range.step = "any";
      range.dataset.whole = whole ? "1" : "";
    }
    if (number.value !== "") range.value = toSlider(range, Number(number.value));
    range.addEventListener("input", () => {
      const value = range.dataset.log ? 10 ** Number(range.value) : Number(range.value);
      number.value = range.dataset.whole ? Math.round(value) : Number(value.toPrecision(3));
    });
    number.addEventListener("input", () => { if (number.value !== "") range.value = toSlider(range, Number(number.value)); });
  }

  /* Read-outs: pointing at a mark, or walking with arrow keys, says its value; one quantity lights everywhere. */
  function light(quantity) {
    for (const one of document.querySelectorAll(".lit")) one.classList.remove("lit");
    if (quantity) for (const one of document.querySelectorAll(`[data-quantity="${CSS.escape(quantity)}"]`)) one.classList.add("lit");
  }
  function read(mark) {
    const readout = mark.closest("figure")?.querySelector(".readout");
    if (readout && mark.dataset.value) readout.textContent = mark.dataset.value;
  }
  document.addEventListener("pointerover", (event) => {
    const mark = event.target.closest("[data-value], [data-quantity]");
    if (mark) read(mark);
    light(mark?.dataset.quantity);
  });
  document.addEventListener("focusin", (event) => light(event.target.closest("[data-quantity]")?.dataset.quantity));
  document.addEventListener("keydown", (event) => {
    const picture = event.target.closest(".picture");
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!picture || !step) return;
    const marks = [...picture.querySelectorAll("[data-value]")];
    if (!marks.length) return;
    event.preventDefault();
    const at = (Number(picture.dataset.at ?? -1) + step + marks.length) % marks.length;
    picture.dataset.at = at;
    read(marks[at]);
    say(marks[at].dataset.value);
    light(marks[at].dataset.quantity);
  });

  /* A run that draws while it trains. Leaving the page, or the next run, closes it and frees its worker. */
  customElements.define("demo-stream", class extends HTMLElement {
    connectedCallback() {
      this.source = new EventSource(this.getAttribute("src"));
      const show = (event) => { this.innerHTML = policy.createHTML(event.data); };
      this.source.addEventListener("frame", show);
      this.source.addEventListener("done", (event) => { show(event); this.end(); });
      for (const name of ["wait", "progress"]) this.source.addEventListener(name, (event) => {
        if (this.firstElementChild?.matches("p")) this.firstElementChild.textContent = event.data;
      });
      this.source.addEventListener("failed", (event) => { this.fail(event.data); });
      this.source.onerror = () => { if (this.source.readyState === EventSource.CLOSED) this.fail("The run was lost. Press Run to start it again."); };
    }
    end() { this.source.close(); prepare(this); }
    fail(text) {
      this.end();
      const note = document.createElement("p");
      note.className = "notice refuted";
      note.textContent = text;
      this.replaceChildren(note);
    }
    disconnectedCallback() { this.source?.close(); }
  });

  /* What scrolls sideways can be reached by keyboard. */
  function prepareScrolling(where) {
    for (const one of where.querySelectorAll("pre, table, .table-scroll, .formula, math[display=block]")) {
      if (one.scrollWidth > one.clientWidth && !one.hasAttribute("tabindex")) {
        one.tabIndex = 0;
        if (one.matches("pre, .table-scroll, .formula")) {
          one.setAttribute("role", "region");
          one.setAttribute("aria-label", "Scrolls sideways");
        }
      }
    }
  }

  function prepare(where) {
    for (const range of where.querySelectorAll("[data-slider]")) prepareSlider(range);
    prepareScrolling(where);
    const here = where.querySelector(".presets [aria-current]");
    if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.clientWidth / 3;
  }
  document.addEventListener("toggle", () => prepareScrolling(document), true);
  addEventListener("resize", () => prepareScrolling(document));
  /* On a phone the knobs stand above what was just predicted. */
  const ready = () => {
    prepare(document);
    const settled = document.querySelector(".bench .settled");
    if (settled && settled.getBoundingClientRect().top > innerHeight / 2) settled.scrollIntoView();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready); else ready();
  /* Trouble stands above the page, which stays as it was, until the next request. */
  const problems = () => document.getElementById("problems");
  document.addEventListener("htmx:before:request", () => problems().replaceChildren());
  document.addEventListener("htmx:error", () => {
    const note = document.createElement("p");
    note.className = "notice refuted";
    note.setAttribute("role", "alert");
    note.textContent = "The server did not answer. Nothing you saved is lost; try again when it is back.";
    problems().replaceChildren(note);
  });
  document.addEventListener("htmx:after:swap", () => {
    prepare(document);
    const wanted = document.querySelector("[data-focus]");
    if (wanted) { wanted.removeAttribute("data-focus"); wanted.focus({ preventScroll: true }); }
  });
})();
