// Adds what pages cannot do without a script. The server makes all decisions.
(function () {
  "use strict";

  // Shows times in the reader's time zone. Their titles keep UTC.
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  function localize(root) {
    for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const date = new Date(time.dateTime);
      if (!Number.isNaN(date.getTime())) time.textContent = format.format(date);
      time.dataset.local = "";
    }
  }

  // Copies the text of the element whose id is in the button's data-copy, or the text in data-copy-text.
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

  // Shows a text on the button for two seconds, and announces it to screen readers.
  const said = new Map();
  function say(button, text) {
    const { label = button.innerHTML, timer } = said.get(button) ?? {};
    clearTimeout(timer);
    button.textContent = text;
    document.getElementById("said").textContent = text;
    said.set(button, { label, timer: setTimeout(() => { button.innerHTML = label; said.delete(button); }, 2000) });
  }

  // Saves the text of an element as a file. The button's data-save-as has the name of the file.
  function save(button) {
    const text = document.getElementById(button.dataset.save).textContent;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text + "\n"], { type: "text/plain" }));
    link.download = button.dataset.saveAs;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // Adds a row from the template that the button names. A number in the names of its fields makes each row unique.
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

  // Enables a button only while the expected text is typed, or the box is ticked.
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
  // Enter in a row of addresses adds another row. It does not send the form.
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

  // Marks a field that the server checks while the user types as invalid if the server returned an error.
  document.addEventListener("htmx:afterSwap", (event) => {
    const field = event.detail.requestConfig?.elt;
    if (field?.dataset.checked !== undefined) field.setAttribute("aria-invalid", event.detail.target.textContent !== "");
  });

  // Shows a notice while the control plane cannot be reached.
  function unreachable(is) {
    const notice = document.getElementById("unreachable");
    if (notice) notice.hidden = !is;
  }
  for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => unreachable(true));
  document.addEventListener("htmx:afterOnLoad", () => unreachable(false));

  // Reloads a page that shows a key when the user goes back to it, so that the key is not shown again.
  addEventListener("pageshow", (event) => {
    if (event.persisted && document.getElementById("secret")) location.reload();
  });

  function prepare(root) {
    localize(root);
    // Waits until htmx has inserted and scrolled to the new content.
    const wrong = root.querySelector("[aria-invalid=true]");
    if (wrong) setTimeout(() => wrong.focus());
    for (const field of root.querySelectorAll("[data-enables]")) guard(field);
  }
  document.addEventListener("DOMContentLoaded", () => prepare(document));
  document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
})();
