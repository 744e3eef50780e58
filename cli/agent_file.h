/* agent_file: where the agent's library is on this host. */
#ifndef PYLU_AGENT_FILE_H
#define PYLU_AGENT_FILE_H

#include <limits.h>

/*
 * The absolute path of libpylu_agent.so: what the user named, else the environment's PYLU_AGENT, else the first that
 * is there of the places where an installation and a build tree have it, from the folder of this program on. 0, or a
 * code that was reported.
 */
int agent_file__find(const char *named, char out[PATH_MAX]);

#endif
