// A plan, line by line, with two buttons. Whether it may be applied is the gateway's to say: a plan that needs a person is refused or asked about there.
const kinds = { "+": "added", "-": "removed", "~": "changed" };
function show(result) {
  const plan = result.structuredContent;
  if (result.isError || !plan || !plan.plan_id) {
    main.replaceChildren(part("pre", said(result) || "There is no plan in this answer."));
    return;
  }
  const title = part("h1", "Plan " + plan.plan_id);
  const risk = ["low", "medium", "high"].includes(plan.risk) ? plan.risk : "high";
  title.append(part("span", "risk " + risk, "risk " + risk));
  const lines = part("pre");
  for (const line of String(plan.text || "").split("\n")) lines.append(part("span", line + "\n", kinds[line.trim()[0]]));
  const note = part("p", plan.needs_person ? "A person has to agree: the gateway asks, or refuses where nobody can be asked." : "Nothing has been changed yet.", "note");
  const apply = part("button", "Apply");
  const reject = part("button", "Reject");
  const settled = (text) => {
    apply.disabled = reject.disabled = true;
    note.textContent = text;
    resized();
  };
  apply.addEventListener("click", () => {
    settled("Applying.");
    ask("tools/call", { name: "gateway_apply", arguments: { plan_id: plan.plan_id } }).then(
      (answer) => settled(answer.isError ? "Not applied: " + said(answer) : said(answer)),
      (error) => settled("Not applied: " + error.message),
    );
  });
  reject.addEventListener("click", () => {
    settled("Rejected; nothing was changed.");
    const text = "I reject plan " + plan.plan_id + ". Do not apply it.";
    ask("ui/message", { role: "user", content: [{ type: "text", text }] }).catch(() => {});
  });
  main.replaceChildren(title, lines, note, apply, reject);
}
begin("usher-plan");
