// Shop @version@: fills the table of orders.
"use strict";
(async () => {
  const answer = await fetch("/api/orders");
  const table = document.getElementById("orders");
  for (const order of await answer.json()) {
    const row = table.insertRow();
    for (const value of Object.values(order)) {
      row.insertCell().textContent = value ?? "";
    }
  }
})();
