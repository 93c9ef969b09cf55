// A gateway that nobody can sign up with.
import assert from "node:assert/strict";
import { active, refused, scenario, stranger } from "./scenario.mjs";

scenario("signUp.email where it is closed", async browser => {
	const b = browser();
	refused(await b.client.signUp.email(stranger()), 400, "EMAIL_PASSWORD_SIGN_UP_DISABLED", "Email and password sign up is not enabled");
	assert.equal(await active(b), null);
});
