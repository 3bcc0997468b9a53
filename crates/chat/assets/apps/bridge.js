"use strict";
// What a page in a chat and the program around it say to each other: JSON-RPC by messages. The page asks nobody else, and its policy lets it not.
const main = document.getElementById("main");
const waiting = new Map();
let last = 0;
const post = (message) => window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
const notify = (method, params = {}) => post({ method, params });
const ask = (method, params) =>
  new Promise((resolve, reject) => {
    last += 1;
    waiting.set(last, { resolve, reject });
    post({ id: last, method, params });
  });
const part = (name, text, kind) => {
  const made = document.createElement(name);
  // Everything that is shown is text, whoever wrote it.
  if (text !== undefined) made.textContent = String(text);
  if (kind) made.className = kind;
  return made;
};
const resized = () => notify("ui/notifications/size-changed", { width: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight });
const said = (result) => ((result && result.content) || []).map((one) => one.text || "").join("\n");
window.addEventListener("message", (event) => {
  const message = event.data;
  // Only the program around the page is listened to.
  if (event.source !== window.parent || !message || message.jsonrpc !== "2.0") return;
  if (message.method === undefined) {
    const open = waiting.get(message.id);
    if (!open) return;
    waiting.delete(message.id);
    if (message.error) open.reject(new Error(String(message.error.message || "refused")));
    else open.resolve(message.result);
  } else if (message.method === "ui/notifications/tool-result") {
    show(message.params || {});
    resized();
  } else if (message.method === "ui/notifications/tool-cancelled") {
    main.replaceChildren(part("p", "The call was cancelled."));
    resized();
  } else if (message.method === "ui/resource-teardown" || message.method === "ping") {
    post({ id: message.id, result: {} });
  } else if (message.id !== undefined) {
    post({ id: message.id, error: { code: -32601, message: "this page knows no " + String(message.method).slice(0, 80) } });
  }
});
const begin = (name) =>
  ask("ui/initialize", { protocolVersion: "2026-01-26", appInfo: { name, version: "1" }, appCapabilities: {} }).then(() => {
    notify("ui/notifications/initialized");
    resized();
  }, () => main.replaceChildren(part("p", "This program does not show pages of tools; the text of the answer says the same.")));
