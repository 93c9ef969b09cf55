// useSession: the store that an app's pages are drawn from follows by itself what the client does.
import assert from "node:assert/strict";
import { granted, known, scenario, signIn } from "./scenario.mjs";
import { watch } from "./watch.mjs";

const { alice, bob } = known;

scenario("useSession before anybody has signed in", async browser => {
	const b = browser();
	const seen = watch(b);
	assert.deepEqual([seen.value.data, seen.value.error, seen.value.isPending], [null, null, true]);
	await seen.value.refetch();
	assert.deepEqual([seen.value.data, seen.value.error, seen.value.isPending], [null, null, false]);
	seen.end();
});

scenario("useSession follows signIn, setActive and signOut", async browser => {
	const b = browser();
	const seen = watch(b);
	const first = await signIn(b, alice);
	await seen.user(alice.email);
	granted(await b.client.signIn.username({ username: bob.username, password: bob.password }));
	await seen.user(bob.email);
	granted(await b.client.multiSession.setActive({ sessionToken: first }));
	await seen.user(alice.email);
	assert.equal(seen.value.data.session.token, first);
	assert.ok(seen.value.data.session.expiresAt instanceof Date);
	granted(await b.client.signOut());
	await seen.nobody();
	seen.end();
});

scenario("useSession does not follow multiSession.revoke", async browser => {
	const b = browser();
	const seen = watch(b);
	const first = await signIn(b, alice);
	await seen.user(alice.email);
	const second = await signIn(b, bob);
	await seen.user(bob.email);
	const before = b.requests.length;
	granted(await b.client.multiSession.revoke({ sessionToken: second }));
	granted(await b.client.multiSession.setActive({ sessionToken: first }));
	await seen.user(alice.email);
	assert.deepEqual(b.requests.slice(before), ["/multi-session/revoke", "/multi-session/set-active", "/get-session"]);

	granted(await b.client.multiSession.revoke({ sessionToken: first }));
	await seen.value.refetch();
	assert.equal(seen.value.data, null);
	seen.end();
});

scenario("useSession keeps what it has when a sign-in fails", async browser => {
	const b = browser();
	const seen = watch(b);
	await signIn(b, alice);
	await seen.user(alice.email);
	const before = b.requests.length;
	const { error } = await b.client.signIn.email({ email: bob.email, password: "not his" });
	assert.equal(error.status, 401);
	await seen.value.refetch();
	assert.deepEqual(b.requests.slice(before), ["/sign-in/email", "/get-session"]);
	assert.equal(seen.value.data.user.email, alice.email);
	seen.end();
});
