/** The unix socket where the agent listens unless told otherwise. Apart, so that a command's help loads no server. */
export const AGENT_SOCKET = '/run/pointsman/agent.sock';
