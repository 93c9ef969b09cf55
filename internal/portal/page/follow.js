// Reloads a page when another account becomes active, or when the list of accounts changes, in another
// tab. The page works without this script.
//
// data-state names what a page shows. Of the visible pages of this origin one listens to the gateway and
// tells the others. The others believe only that page. When a page becomes visible and shows another
// state, the listening page asks the gateway again. Hidden pages do nothing until they become visible.
"use strict";
(() => {
	const page = document.body.dataset;
	const root = document.getElementById("follow");
	const name = "multi_session" + page.portal; // of the channel, the lock and the stored value
	const channel = "BroadcastChannel" in window ? new BroadcastChannel(name) : null;

	let told = page.state; // the latest state that the page has heard of
	// A form was sent, or a reload has begun. A reload would lose the form's answer and its cookies.
	let leaving = false;
	let typed = false; // somebody has typed something here
	let stop = null; // stops listening
	let ask = null; // asks the gateway again; set only in the page that listens

	// renew reloads a page that is out of date, or shows a message if a reload would lose something.
	function renew() {
		if (document.visibilityState !== "visible" || leaving) return;
		if (told === page.state) return root.replaceChildren();
		if (typed || filled() || !mayRenew()) return void notify();
		leaving = true;
		reload();
	}

	// reload shows the page anew. To reload the answer of a form, the browser would send the form again,
	// so the page goes to the address that it has by GET. A page whose address has the fragment of
	// another one has no form's answer.
	function reload() {
		if (page.here && !("fragment" in page && location.hash)) location.replace(page.here);
		else location.reload();
	}

	// filled reports whether a field has another value than the server gave it: one that somebody typed,
	// perhaps before this script ran, or that the browser filled in.
	function filled() {
		return [...document.querySelectorAll("input:not([type=hidden])")].some((input) =>
			input.type === "checkbox" ? input.checked !== input.defaultChecked : input.value !== input.defaultValue);
	}

	// mayRenew returns false after several reloads in a short time, so that no mistake becomes a loop.
	function mayRenew() {
		const most = 5, within = 30_000, now = Date.now();
		try {
			const times = JSON.parse(sessionStorage.getItem(name) ?? "[]").filter((at) => now - at < within && at <= now);
			if (times.length >= most) return false;
			sessionStorage.setItem(name, JSON.stringify([...times, now]));
			return true;
		} catch {
			return false; // the browser stores nothing for this site
		}
	}

	// notify says what has changed and offers a reload.
	async function notify() {
		const about = told;
		let text = "Your accounts have changed in another tab.";
		try {
			const [active, all] = await Promise.all(["/get-session", "/multi-session/list-device-sessions"].map(async (path) => {
				const answer = await fetch(page.portal + path, { headers: { Accept: "application/json" } });
				if (!answer.ok) throw new Error(answer.statusText);
				return answer.json();
			}));
			if (active) text = `You are now signed in as ${active.user.name}.`;
			else if (!all.length) text = "You are signed out now.";
			else text = "No account is active now.";
		} catch {
			// The message stays general.
		}
		if (told !== about || told === page.state || leaving) return;
		const link = document.createElement("a");
		link.href = page.here ?? location.href;
		link.textContent = "Update this page";
		link.addEventListener("click", (event) => {
			event.preventDefault(); // the browser would not reload an address with a fragment
			reload();
		});
		const message = document.createElement("p");
		message.className = "message";
		message.dir = "auto";
		message.append(text + " ", link);
		root.replaceChildren(message);
	}

	function hear(state) {
		told = state;
		renew();
	}

	function hearPage({ told: heard, shown }) {
		if (heard !== undefined) hear(heard);
		else if (!ask) return;
		else if (shown === told) channel.postMessage({ told });
		else ask();
	}

	// listen listens to the gateway as soon as no other page of this browser does, and tells the others
	// what it hears. Browsers have locks on HTTPS and localhost; elsewhere each visible page listens.
	function listen() {
		if (stop) return;
		const end = new AbortController();
		stop = () => {
			stop = null;
			end.abort();
		};
		const open = () => new Promise((closed) => {
			let source, again;
			ask = () => {
				clearTimeout(again);
				source?.close();
				source = new EventSource(page.portal + "/events");
				source.addEventListener("accounts", (event) => {
					channel?.postMessage({ told: event.lastEventId });
					hear(event.lastEventId);
				});
				source.addEventListener("error", () => {
					// Usually the browser reconnects by itself.
					if (source.readyState === EventSource.CLOSED) again = setTimeout(ask, 15_000);
				});
			};
			ask();
			end.signal.addEventListener("abort", () => {
				clearTimeout(again);
				source.close();
				ask = null;
				closed();
			});
		});
		if (!navigator.locks) return void open();
		navigator.locks.request(name, { signal: end.signal }, () => end.signal.aborted || open()).catch(() => {}); // aborted
	}

	function look() {
		if (document.visibilityState !== "visible") return void stop?.();
		renew();
		listen();
		channel?.postMessage({ shown: page.state });
	}

	channel?.addEventListener("message", (event) => hearPage(event.data));
	document.addEventListener("visibilitychange", look);
	document.addEventListener("input", () => { typed = true; });
	document.addEventListener("submit", () => { leaving = true; });
	addEventListener("pagehide", () => stop?.());
	addEventListener("pageshow", (event) => {
		if (!event.persisted) return;
		// The browser restores the page as it was left, perhaps long ago.
		leaving = false;
		look();
	});

	look();
})();
