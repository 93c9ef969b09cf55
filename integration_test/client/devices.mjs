// One browser and several accounts: signing in, switching, revoking and signing out.
import assert from "node:assert/strict";
import { accounts, active, granted, isSession, isUser, known, refused, scenario, signIn } from "./scenario.mjs";

const { alice, bob, carol } = known;

scenario("nobody is signed in", async browser => {
	const { client } = browser();
	assert.deepEqual(await client.getSession(), { data: null, error: null });
	assert.deepEqual(await client.multiSession.listDeviceSessions(), { data: [], error: null });
});

scenario("signIn.email", async browser => {
	const b = browser();
	const data = granted(await b.client.signIn.email({ email: "Alice@Example.COM", password: alice.password }));
	assert.equal(data.redirect, false);
	isUser(data.user);
	assert.equal(data.user.email, alice.email);
	assert.equal(data.user.image, null);

	const now = granted(await b.client.getSession());
	isSession(now.session);
	assert.deepEqual(now.user, data.user);
	assert.equal(now.session.token, data.token);
	assert.equal(now.session.userId, data.user.id);
	assert.equal(now.session.userAgent, b.userAgent);
	const [entry, ...others] = granted(await b.client.multiSession.listDeviceSessions());
	assert.deepEqual(others, []);
	assert.equal(entry.session.id, now.session.id);
	assert.equal(entry.session.token, data.token);
	assert.deepEqual(entry.user, data.user);
});

scenario("signIn.username", async browser => {
	const { client } = browser();
	const data = granted(await client.signIn.username({ username: "ALICE", password: alice.password }));
	assert.equal(data.redirect, false);
	isUser(data.user);
	assert.equal(data.user.email, alice.email);
	assert.equal(data.user.username, "alice");
	assert.equal(typeof data.user.displayUsername, "string");
	assert.equal(granted(await client.getSession()).session.token, data.token);
});

scenario("signIn leads on to a callbackURL", async browser => {
	for (const method of ["email", "username"]) {
		const { client } = browser();
		const data = granted(await client.signIn[method]({ ...pick(alice, method), callbackURL: "/dashboard?tab=2" }));
		assert.equal(data.redirect, true);
		assert.equal(data.url, "/dashboard?tab=2");
		isUser(data.user);
	}
});

scenario("signIn refuses to lead elsewhere", async browser => {
	const b = browser();
	for (const callbackURL of ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)"]) {
		for (const method of ["email", "username"]) {
			refused(await b.client.signIn[method]({ ...pick(alice, method), callbackURL }), 403, "INVALID_CALLBACK_URL");
		}
	}
	assert.equal(await active(b), null);
});

scenario("signIn with a wrong name or password", async browser => {
	const b = browser();
	const { signIn } = b.client;
	const wrong = await signIn.email({ email: alice.email, password: "not hers" });
	refused(wrong, 401, "INVALID_EMAIL_OR_PASSWORD", "Invalid email or password");
	assert.equal(wrong.error.statusText, "Unauthorized");
	assert.deepEqual(await signIn.email({ email: "nobody@example.com", password: "not hers" }), wrong);

	const unknown = await signIn.username({ username: "nobody", password: "not hers" });
	refused(unknown, 401, "INVALID_USERNAME_OR_PASSWORD", "Invalid username or password");
	assert.deepEqual(await signIn.username({ username: "alice", password: "not hers" }), unknown);

	refused(await signIn.email({ email: "", password: alice.password }), 400, "INVALID_EMAIL", "Invalid email");
	refused(await signIn.email({ email: alice.email }), 400, "VALIDATION_ERROR", /^\[body\.password\]/);
	refused(await signIn.email({ email: 1, password: alice.password }), 400, "VALIDATION_ERROR", /^\[body\.email\]/);
	refused(await signIn.username({ password: alice.password }), 400, "VALIDATION_ERROR", /^\[body\.username\]/);
	refused(await signIn.email({ ...alice, rememberMe: "yes" }), 400, "VALIDATION_ERROR", /^\[body\.rememberMe\]/);
	assert.equal(await active(b), null);
});

scenario("a second account, and back to the first", async browser => {
	const b = browser();
	const first = await signIn(b, alice);
	const second = await signIn(b, bob);
	assert.notEqual(first, second);
	assert.equal(await active(b), bob.email);
	assert.deepEqual(await accounts(b), [alice.email, bob.email]);

	const data = granted(await b.client.multiSession.setActive({ sessionToken: first }));
	isSession(data.session);
	isUser(data.user);
	assert.equal(data.session.token, first);
	assert.equal(data.user.email, alice.email);
	assert.equal(await active(b), alice.email);
	assert.deepEqual(await accounts(b), [alice.email, bob.email]);
	granted(await b.client.multiSession.setActive({ sessionToken: second }));
	assert.equal(await active(b), bob.email);
});

scenario("setActive with the active account's own token", async browser => {
	const b = browser();
	const token = await signIn(b, alice);
	assert.equal(granted(await b.client.multiSession.setActive({ sessionToken: token })).session.token, token);
	assert.equal(await active(b), alice.email);
});

scenario("revoke an account that is not active", async browser => {
	const b = browser();
	const first = await signIn(b, alice);
	await signIn(b, bob);
	assert.deepEqual(granted(await b.client.multiSession.revoke({ sessionToken: first })), { status: true });
	assert.equal(await active(b), bob.email);
	assert.deepEqual(await accounts(b), [bob.email]);
	refused(await b.client.multiSession.setActive({ sessionToken: first }), 401, "INVALID_SESSION_TOKEN", "Invalid session token");
});

scenario("revoke the active account", async browser => {
	const b = browser();
	const first = await signIn(b, alice);
	const second = await signIn(b, bob);
	granted(await b.client.multiSession.revoke({ sessionToken: second }));
	assert.equal(await active(b), alice.email, "another account has become active");
	granted(await b.client.multiSession.revoke({ sessionToken: first }));
	assert.equal(await active(b), null);
	assert.deepEqual(await accounts(b), []);
});

scenario("the same account again", async browser => {
	const b = browser();
	const first = await signIn(b, alice);
	await signIn(b, bob);
	const again = await signIn(b, alice);
	assert.notEqual(again, first);
	assert.deepEqual(await accounts(b), [alice.email, bob.email]);
	assert.equal(await active(b), alice.email);
	refused(await b.client.multiSession.setActive({ sessionToken: first }), 401, "INVALID_SESSION_TOKEN");
});

scenario("signOut", async browser => {
	const b = browser();
	const tokens = [await signIn(b, alice), await signIn(b, bob), await signIn(b, carol)];
	assert.deepEqual(granted(await b.client.signOut()), { success: true });
	assert.equal(await active(b), null);
	assert.deepEqual(await accounts(b), []);
	for (const sessionToken of tokens) {
		refused(await b.client.multiSession.setActive({ sessionToken }), 401, "INVALID_SESSION_TOKEN");
	}
	assert.deepEqual(granted(await b.client.signOut()), { success: true });
});

scenario("a token that is not this browser's", async browser => {
	const b = browser();
	await signIn(b, alice);
	const other = browser();
	const foreign = await signIn(other, bob);
	for (const sessionToken of [foreign, "unknown", "ünknown", ""]) {
		for (const method of ["setActive", "revoke"]) {
			refused(await b.client.multiSession[method]({ sessionToken }), 401, "INVALID_SESSION_TOKEN", "Invalid session token");
		}
	}
	for (const method of ["setActive", "revoke"]) {
		refused(await b.client.multiSession[method]({ sessionToken: 1 }), 400, "VALIDATION_ERROR", /^\[body\.sessionToken\]/);
	}
	assert.equal(await active(b), alice.email);
	assert.deepEqual(await accounts(b), [alice.email]);
	assert.equal(await active(other), bob.email);
});

scenario("a token without the browser's cookies", async browser => {
	const token = await signIn(browser(), alice);
	const b = browser();
	refused(await b.client.multiSession.setActive({ sessionToken: token }), 401, "INVALID_SESSION_TOKEN");
	refused(await b.client.multiSession.revoke({ sessionToken: token }), 401, "UNAUTHORIZED", "Unauthorized");
});

scenario("two browsers of one person", async browser => {
	const [home, work] = [browser(), browser()];
	await signIn(home, alice);
	await signIn(home, bob);
	await signIn(work, alice);
	granted(await home.client.signOut());
	assert.equal(await active(work), alice.email);
});

scenario("a page of another origin", async browser => {
	const { port } = new URL(process.env.GATEWAY_URL);
	const b = browser(`http://localhost:${port}`);
	refused(await b.client.signIn.email({ email: alice.email, password: alice.password }), 403, "INVALID_ORIGIN");
	assert.equal(await active(b), null);
});

// pick is what an account signs in with by a method.
function pick(account, method) {
	return { [method]: account[method], password: account.password };
}
