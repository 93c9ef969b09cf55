// The page at which the provider asks who somebody is.
import { text } from "node:stream/consumers";
import { signInForm, writePage } from "./pages.mjs";

/** Asks, and goes on with what was answered. */
export async function interact(provider, people, request, response) {
	try {
		const { params } = await provider.interactionDetails(request, response);
		if (request.method !== "POST") return ask(response, "Sign in at the provider", params.login_hint);
		const fields = new URLSearchParams(await text(request));
		if (fields.has("cancel")) {
			return await provider.interactionFinished(request, response, { error: "access_denied", error_description: "they did not want to" });
		}
		const who = fields.get("user");
		const person = people.find(person => person.preferred_username === who || person.email === who);
		if (!person) return ask(response, "Nobody has that name", "");
		await provider.interactionFinished(request, response, { select_account: {}, login: { accountId: person.sub } });
	} catch (error) {
		console.error("interaction", error);
		response.writeHead(400).end();
	}
}

function ask(response, heading, hint = "") {
	writePage(response, heading, signInForm(hint));
}
