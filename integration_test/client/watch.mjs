// Subscribes to a client's useSession, as a page does that shows who is active.
import { EventEmitter, once } from "node:events";

/**
 * Begins to watch a browser's session. `user` and `nobody` return when the store has come to that by
 * itself, and wait for it until the scenario's time is over. `end` stops watching.
 */
export function watch({ client }) {
	const changes = new EventEmitter();
	const end = client.useSession.subscribe(() => changes.emit("change"));
	const until = async holds => {
		while (!holds(client.useSession.get())) await once(changes, "change");
	};
	const settled = state => !state.isPending && !state.isRefetching && state.error === null;
	return {
		get value() {
			return client.useSession.get();
		},
		user: (email, holds = () => true) => until(state => settled(state) && state.data?.user.email === email && holds(state.data)),
		nobody: () => until(state => settled(state) && state.data === null),
		end,
	};
}
