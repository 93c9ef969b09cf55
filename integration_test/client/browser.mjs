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
