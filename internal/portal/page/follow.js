// Has a page follow what happens in other tabs: when another account is active, or the list of accounts
// is another, the page is drawn anew. The page works without it.
//
// What a page shows is named by data-state. Of the visible pages of a browser at this origin one listens
// to the gateway and tells the others, what they hear being all that they believe; what a page shows that
// came up is to that one a reason to ask anew. Pages that nobody sees do nothing until somebody does.
"use strict";
(() => {
	const page = document.body.dataset;
	const root = document.getElementById("follow");
	const name = "multi_session" + page.portal; // of the channel, the lock and what is remembered
	const channel = "BroadcastChannel" in window ? new BroadcastChannel(name) : null;

	let told = page.state; // how things are, as far as the page has heard
	let leaving = false; // somebody has sent a form: to draw the page anew would lose the answer, and its cookie.
	// Or the page is about to be drawn anew
	let typed = false; // somebody has written something here
	let stop = null; // ends listening
	let ask = null; // asks the gateway anew; only where this page is the one that listens

	// renew has the page show how things are, if it does not and nothing is lost by it.
	function renew() {
		if (document.visibilityState !== "visible" || leaving) return;
		if (told === page.state) return root.replaceChildren();
		if (typed || filled() || !mayRenew()) return void notify();
		leaving = true;
		// An answer to a form would be asked for by sending the form again.
		if (page.here) location.replace(page.here);
		else location.reload();
	}

	// filled reports whether a field is not as it was drawn: typed in, also before this script was there, or
	// filled in by the browser.
	function filled() {
		return [...document.querySelectorAll("input:not([type=hidden])")].some((input) =>
			input.type === "checkbox" ? input.checked !== input.defaultChecked : input.value !== input.defaultValue);
	}

	// mayRenew is false where the page was drawn anew several times just now. Whatever the reason, it does not
	// go on like that.
	function mayRenew() {
		const most = 5, within = 30_000, now = Date.now();
		try {
			const times = JSON.parse(sessionStorage.getItem(name) ?? "[]").filter((at) => now - at < within && at <= now);
			if (times.length >= most) return false;
			sessionStorage.setItem(name, JSON.stringify([...times, now]));
			return true;
		} catch {
			return false; // the browser keeps nothing for this site
		}
	}

	// notify says what has happened, and leaves it to whoever is here to draw the page anew.
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
			// It is said without a name.
		}
		if (told !== about || told === page.state || leaving) return;
		const link = document.createElement("a");
		link.href = page.here ?? location.href;
		link.textContent = "Update this page";
		link.addEventListener("click", (event) => {
			if (page.here) return;
			event.preventDefault(); // to an address with a fragment the browser would not go anew
			location.reload();
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

	// listen begins to listen once no other page of this browser does, and tells the others what it hears.
	// Browsers have locks on HTTPS and localhost; elsewhere each visible page listens for itself.
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
					// Most of the time the browser tries again by itself.
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
	document.addEventListener("submit", (event) => {
		leaving = true;
		// Where switching leads back to is what the server has seen, which is without the fragment.
		const back = event.target.elements.return_to;
		if (!page.here && back && location.hash && !back.value.includes("#")) back.value += location.hash;
	});
	addEventListener("pagehide", () => stop?.());
	addEventListener("pageshow", (event) => {
		if (!event.persisted) return;
		// The page comes back as it was left, which may be long ago.
		leaving = false;
		look();
	});

	look();
})();
