// What the gateway does in a sign-in at a provider that Better Auth does not, or did in earlier
// releases.
import assert from "node:assert/strict";
import { accounts, active, granted, scenario } from "./scenario.mjs";

const provider = process.env.PROVIDER;

scenario("loginHint asks the provider for an account", async browser => {
	const b = browser();
	const { url } = granted(await b.client.signIn.social({ provider, callbackURL: "/", loginHint: "bob@example.com" }));
	assert.equal(new URL(url).searchParams.get("login_hint"), "bob@example.com");
	await b.travel(new URL(url), { user: "bob" });
	assert.equal(await active(b), "bob@example.com");
});

scenario("adding an account asks for a choice", async browser => {
	const b = browser();
	const begin = async () => new URL(granted(await b.client.signIn.social({ provider, callbackURL: "/" })).url);
	await b.travel(await begin(), { user: "alice" });
	const second = await begin();
	assert.equal(second.searchParams.get("prompt"), "select_account");
	await b.travel(second, { user: "bob" });
	assert.deepEqual(await accounts(b), ["alice@example.com", "bob@example.com"]);
});

scenario("signIn.oauth2, as clients of earlier releases have it", async browser => {
	const b = browser();
	const body = { providerId: provider, callbackURL: "/dashboard" };
	const data = granted(await b.client.$fetch("/sign-in/oauth2", { method: "POST", body }));
	assert.equal(data.redirect, true);
	assert.equal(await b.travel(new URL(data.url), { user: "alice" }), "/dashboard");
	assert.equal(await active(b), "alice@example.com");
});
