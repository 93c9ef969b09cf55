// Signing in at a provider: the client begins, its user comes back from there, and the client goes on.
import assert from "node:assert/strict";
import { accounts, active, granted, isSession, isUser, refused, scenario } from "./scenario.mjs";

const provider = process.env.PROVIDER;

// What the provider calls the people whom scenarios know.
const [alice, bob, carol] = ["alice@example.com", "bob@example.com", "carol@example.net"];

/** Begins to sign in, and returns where the user is to go. */
async function begin({ client }, more) {
	const data = granted(await client.signIn.social({ provider, callbackURL: "/dashboard?tab=2", ...more }));
	assert.equal(data.redirect, true);
	assert.match(data.url, /^http:\/\/localhost:/);
	return new URL(data.url);
}

/** Signs somebody in, and returns where the browser comes to in the end. */
async function signInAt(browser, email, more) {
	return browser.travel(await begin(browser, more), { user: email });
}

scenario("signIn.social", async browser => {
	const b = browser();
	const url = await begin(b);
	assert.equal(url.searchParams.get("response_type"), "code");
	assert.equal(url.searchParams.get("code_challenge_method"), "S256");
	assert.ok(url.searchParams.get("scope").split(" ").includes("openid"));
	assert.equal(await active(b), null, "nobody is signed in by having begun");

	const end = await b.travel(url, { user: alice });
	assert.equal(end, "/dashboard?tab=2");
	const { session, user } = granted(await b.client.getSession());
	isSession(session);
	isUser(user);
	assert.equal(user.email, alice);
	assert.equal(user.emailVerified, true);
	assert.equal(user.name, "Alice Provided");
	assert.equal(session.userId, user.id);
});

scenario("a second account of the provider, and back to the first", async browser => {
	const b = browser();
	await signInAt(b, alice);
	const first = granted(await b.client.getSession()).session.token;
	await signInAt(b, bob, { additionalParams: { prompt: "login" } });
	assert.equal(await active(b), bob);
	assert.deepEqual(await accounts(b), [alice, bob]);
	granted(await b.client.multiSession.setActive({ sessionToken: first }));
	assert.equal(await active(b), alice);
	assert.equal(granted(await b.client.signOut()).success, true);
	assert.deepEqual(await accounts(b), []);
});

scenario("an address that the provider has not verified", async browser => {
	const b = browser();
	await signInAt(b, carol);
	const { user } = granted(await b.client.getSession());
	assert.deepEqual([user.email, user.emailVerified], [carol, false]);
});

scenario("somebody changes their mind", async browser => {
	const b = browser();
	const end = await b.travel(await begin(b, { errorCallbackURL: "/oops" }), { cancel: "1" });
	assert.match(end, /^\/oops\?error=access_denied(&|$)/);
	assert.equal(await active(b), null);
});

scenario("disableRedirect leaves the way to the client", async browser => {
	const data = granted(await browser().client.signIn.social({ provider, callbackURL: "/", disableRedirect: true }));
	assert.equal(data.redirect, false);
	assert.equal(typeof data.url, "string");
});

scenario("a provider that there is not", async browser => {
	refused(await browser().client.signIn.social({ provider: "nobody", callbackURL: "/" }), 404, "PROVIDER_NOT_FOUND");
});

scenario("signIn.social refuses to lead elsewhere", async browser => {
	const { client } = browser();
	const evil = "https://evil.example/";
	refused(await client.signIn.social({ provider, callbackURL: evil }), 403, "INVALID_CALLBACK_URL");
	refused(await client.signIn.social({ provider, callbackURL: "/", errorCallbackURL: evil }), 403, "INVALID_ERROR_CALLBACK_URL");
	refused(await client.signIn.social({ provider, callbackURL: "/", newUserCallbackURL: evil }), 403, "INVALID_NEW_USER_CALLBACK_URL");
	refused(await client.signIn.social({ provider: 1, callbackURL: "/" }), 400, "VALIDATION_ERROR", /^\[body\.provider\]/);
});
