// What was served, a bar a row: the share of what was answered, refused (4xx) and failed (5xx), as long as the row is busy.
function bar(total, most) {
  const made = part("div", undefined, "bar");
  const count = (name) => Math.max(0, Number(total[name]) || 0);
  const parts = [["good", count("requests") - count("refused") - count("errors")], ["refused", count("refused")], ["failed", count("errors")]];
  for (const [kind, number] of parts) {
    const piece = part("div", undefined, kind);
    piece.style.width = (most > 0 ? (100 * number) / most : 0) + "%";
    made.append(piece);
  }
  return made;
}
function show(result) {
  const found = result.structuredContent;
  if (result.isError || !found || !found.total) {
    main.replaceChildren(part("pre", said(result) || "There are no numbers in this answer."));
    return;
  }
  const rows = [["all", found.total, found.before]];
  for (const row of found.rows || []) rows.push([Object.values(row.key || {}).map((name) => name || "none").join(", "), row.total || {}, row.before]);
  const most = Math.max(...rows.slice(rows.length > 1 ? 1 : 0).map((row) => Number(row[1].requests) || 0));
  const table = part("table");
  const head = part("tr");
  for (const [name, kind] of [["", ""], ["requests", "number"], ["4xx", "number"], ["5xx", "number"], ["p95 ms", "number"], ["before", "number"], ["", ""]]) head.append(part("th", name, kind));
  table.append(head);
  for (const [name, total, before] of rows) {
    const line = part("tr");
    line.append(part("td", name));
    for (const member of ["requests", "refused", "errors", "p95_ms"]) line.append(part("td", total[member] ?? "", "number"));
    line.append(part("td", before ? before.requests : "", "number"));
    const cell = part("td");
    if (name !== "all" || rows.length === 1) cell.append(bar(total, most));
    line.append(cell);
    table.append(line);
  }
  const nodes = [part("h1", "Traffic"), table];
  if (found.more > 0) nodes.push(part("p", found.more + " more rows", "note"));
  main.replaceChildren(...nodes);
}
begin("usher-traffic");
