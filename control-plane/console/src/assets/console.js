// What pages cannot do without a script. Nothing here decides anything: the server does.
(function () {
  "use strict";

  // Times in the reader's zone; the title keeps UTC.
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  function localize(root) {
    for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const date = new Date(time.dateTime);
      if (!Number.isNaN(date.getTime())) time.textContent = format.format(date);
      time.dataset.local = "";
    }
  }

  // What a button names: by data-copy the id of an element whose text is copied, or by data-copy-text the text.
  async function copy(button) {
    const element = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(element ? element.textContent : button.dataset.copyText);
      say(button, "Copied");
    } catch {
      if (!element) return say(button, "Not copied");
      const range = document.createRange();
      range.selectNodeContents(element);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      say(button, "Selected: press Ctrl+C");
    }
  }

  // Said on the button for a while, and to those who do not see it.
  const said = new Map();
  function say(button, text) {
    const { label = button.innerHTML, timer } = said.get(button) ?? {};
    clearTimeout(timer);
    button.textContent = text;
    document.getElementById("said").textContent = text;
    said.set(button, { label, timer: setTimeout(() => { button.innerHTML = label; said.delete(button); }, 2000) });
  }

  // A file with the text of an element, named by data-save-as.
  function save(button) {
    const text = document.getElementById(button.dataset.save).textContent;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text + "\n"], { type: "text/plain" }));
    link.download = button.dataset.saveAs;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // Another row, from the template that a button names; rows are told apart by a number in the names of their fields.
  function addRow(button) {
    const template = document.getElementById(button.dataset.add);
    const list = document.getElementById(button.dataset.to);
    const number = String(Date.now()) + String(list.children.length);
    const holder = document.createElement("template");
    holder.innerHTML = template.innerHTML.replaceAll("NUMBER", number);
    const row = holder.content.firstElementChild;
    list.append(row);
    htmx.process(row);
    row.querySelector("input").focus();
  }

  // What is only to be pressed once a text was typed, or a box ticked.
  function guard(field) {
    const button = document.getElementById(field.dataset.enables);
    const fits = field.type === "checkbox" ? field.checked : field.value === field.dataset.text;
    button.disabled = !fits;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button, a");
    if (!button) return;
    if (button.dataset.copy || button.dataset.copyText) copy(button);
    if (button.dataset.save) save(button);
    if (button.dataset.add) addRow(button);
    if (button.dataset.remove !== undefined) button.closest(".row").remove();
    if (button.dataset.days) {
      const day = new Date(Date.now() + Number(button.dataset.days) * 86400000).toISOString().slice(0, 10);
      const field = document.getElementById(button.dataset.sets);
      field.value = day;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    }
    if (button.dataset.tick) {
      const boxes = [...document.querySelectorAll(button.dataset.tick)];
      const all = boxes.every((box) => box.checked);
      for (const box of boxes) box.checked = !all;
    }
  });
  // Enter in a row of addresses is for another row, not for the whole form.
  document.addEventListener("keydown", (event) => {
    const row = event.key === "Enter" && event.target.dataset.checked !== undefined && event.target.closest(".row");
    if (!row) return;
    event.preventDefault();
    if (event.target.value.trim()) document.querySelector(`[data-to="${row.parentElement.id}"]`).click();
  });
  document.addEventListener("input", (event) => {
    if (event.target.dataset.enables) guard(event.target);
  });
  document.addEventListener("change", (event) => {
    if (event.target.dataset.enables) guard(event.target);
    if (event.target.dataset.chooses) {
      const radio = document.getElementById(event.target.dataset.chooses);
      radio.checked = true;
    }
  });

  // What the server found wrong with a field that is checked as it is typed is also told of the field itself.
  document.addEventListener("htmx:afterSwap", (event) => {
    const field = event.detail.requestConfig?.elt;
    if (field?.dataset.checked !== undefined) field.setAttribute("aria-invalid", event.detail.target.textContent !== "");
  });

  // What cannot be reached is said, until it can be again.
  function unreachable(is) {
    const notice = document.getElementById("unreachable");
    if (notice) notice.hidden = !is;
  }
  for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => unreachable(true));
  document.addEventListener("htmx:afterOnLoad", () => unreachable(false));

  // What shows a key is not shown again by going back to it.
  addEventListener("pageshow", (event) => {
    if (event.persisted && document.getElementById("secret")) location.reload();
  });

  function prepare(root) {
    localize(root);
    // After what else comes with new content, which may scroll.
    const wrong = root.querySelector("[aria-invalid=true]");
    if (wrong) setTimeout(() => wrong.focus());
    for (const field of root.querySelectorAll("[data-enables]")) guard(field);
  }
  document.addEventListener("DOMContentLoaded", () => prepare(document));
  document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
})();
