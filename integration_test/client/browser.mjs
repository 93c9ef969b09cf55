// A browser without a window: cookies of its own, the headers that a browser adds by itself, and the
// stock client in it as an app would have it.
import { createAuthClient } from "better-auth/client";
import { multiSessionClient, usernameClient } from "better-auth/client/plugins";
import { CookieJar } from "tough-cookie";

// Where the gateway's site is, and where the client finds the API on it.
const site = new URL(process.env.GATEWAY_URL).origin;
const basePath = process.env.GATEWAY_PATH;

let opened = 0;

export class Browser {
	// Every browser is told from the others by its user agent.
	userAgent = `Scenario/${++opened}`;
	// The paths below basePath that were asked for, in order.
	requests = [];

	#cookies = new CookieJar();
	#origin;

	// The page that the client runs in is one of the gateway's own site unless another origin is given.
	constructor(origin = site) {
		this.#origin = origin;
		this.client = createAuthClient({
			baseURL: site,
			basePath,
			plugins: [multiSessionClient(), usernameClient()],
			fetchOptions: { customFetchImpl: (url, init) => this.#fetch(new URL(url), init) },
		});
	}

	/** Goes to an address and wherever it leads, and fills in the form that it comes to first. It returns
	 * where it comes to on the site at last, without looking at what is there. */
	async travel(url, fields) {
		let init = { method: "GET" };
		for (let step = 0; step < 20; step++) {
			const response = await this.#navigate(url, init);
			const location = response.headers.get("Location");
			if (location) {
				url = new URL(location, url);
				init = { method: "GET" };
				const callback = url.pathname.startsWith(basePath);
				if (url.origin === site && !callback) return url.href.slice(site.length);
			} else if (fields) {
				const method = "POST";
				init = { method, body: new URLSearchParams(fields), headers: { Origin: url.origin } };
				fields = undefined;
			} else {
				throw new Error(`${response.status} at ${url.origin}${url.pathname}: ${await response.text()}`);
			}
		}
		throw new Error(`no end of the way at ${url.origin}${url.pathname}`);
	}

	async #navigate(url, init) {
		const headers = new Headers(init.headers);
		headers.set("User-Agent", this.userAgent);
		headers.set("Accept", "text/html");
		headers.set("Sec-Fetch-Mode", "navigate");
		headers.set("Sec-Fetch-Dest", "document");
		headers.set("Sec-Fetch-Site", "cross-site");
		const cookie = await this.#cookies.getCookieString(url.href);
		if (cookie) headers.set("Cookie", cookie);
		const response = await fetch(url, { ...init, headers, redirect: "manual" });
		for (const cookie of response.headers.getSetCookie()) await this.#cookies.setCookie(cookie, url.href);
		return response;
	}

	async #fetch(url, init) {
		this.requests.push(url.pathname.slice(basePath.length));
		const headers = new Headers(init.headers);
		headers.set("User-Agent", this.userAgent);
		headers.set("Sec-Fetch-Site", this.#origin === site ? "same-origin" : "same-site");
		headers.set("Sec-Fetch-Mode", "cors");
		headers.set("Sec-Fetch-Dest", "empty");
		if (init.method !== "GET" || this.#origin !== site) headers.set("Origin", this.#origin);
		const cookie = await this.#cookies.getCookieString(url.href);
		if (cookie) headers.set("Cookie", cookie);
		const response = await fetch(url, { ...init, headers, redirect: "manual" });
		for (const cookie of response.headers.getSetCookie()) await this.#cookies.setCookie(cookie, url.href);
		return response;
	}
}
