// The pages of the provider, as plain as pages can be.

const escape = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);

const page = (heading, body) => `<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<link rel=icon href="data:,"><title>${heading}</title><h1>${heading}</h1>${body}`;

export const signInForm = hint => `<form method="post">
<p><label>User name <input name="user" value="${escape(hint)}" autocomplete="username" autofocus></label></p>
<p><button>Continue</button> <button name="cancel" value="1">Cancel</button></p></form>`;

/** Answers a request of Node.js with a page. */
export function writePage(response, heading, body) {
	response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store" });
	response.end(page(heading, body));
}

/** Asks whether somebody wants to sign out. The form comes without the buttons. */
export function logoutSource(ctx, form) {
	const buttons = `<p><button name="logout" value="yes">Sign out</button> <button>Stay signed in</button></p></form>`;
	ctx.body = page("Sign out of the provider?", form.replace("</form>", buttons));
}

export function postLogoutSuccessSource(ctx) {
	ctx.body = page("Signed out", "");
}

export function renderError(ctx, out) {
	ctx.type = "html";
	ctx.body = page("Something went wrong", `<pre>${escape(JSON.stringify(out))}</pre>`);
}
