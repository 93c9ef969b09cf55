// Sends a form once, and keeps the fragment of the address that a page leads back to. The page works
// without this script.
"use strict";
(() => {
	// After this time, in milliseconds, a form may be sent again: its answer was lost, or somebody has
	// stopped it.
	const patience = 10_000;
	let sent = -patience;

	// The gateway refuses longer return addresses.
	const maxReturnTo = 8192;

	// A second click would have the browser drop the answer to the first one, and its cookies.
	document.addEventListener("submit", (event) => {
		const now = performance.now();
		if (now - sent < patience) return event.preventDefault();
		sent = now;
		keepFragment(event.target.elements.return_to);
	});
	// The browser restores the page as it was left.
	addEventListener("pageshow", () => { sent = -patience; });

	// keepFragment adds the fragment to a form's return address, which lacks it because the server
	// does not see it.
	function keepFragment(back) {
		if (!keeps || !back || !location.hash || back.value.includes("#")) return;
		if (back.value.length + location.hash.length <= maxReturnTo) back.value += location.hash;
	}

	const keeps = "fragment" in document.body.dataset;
	if (!keeps || !location.hash) return;
	for (const link of document.links) {
		if (!link.hash) link.hash = location.hash;
	}
})();
