/* libtacit-agent: asks the model that `tacit-agent serve` serves on this device. Plain C99.
 *
 * The model stays in the agent's worker; this library is a client of the agent's socket, and has no thread, no signal
 * handler and no global state. A handle is used by one thread at a time; several handles are independent of each other.
 * After an error the next call connects again. */
#ifndef TACIT_AGENT_H
#define TACIT_AGENT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One model of one agent. */
typedef struct tacit_agent tacit_agent;

/** The version of this library; lives for ever. */
const char* tacit_agent_version(void);

/** Makes a handle for `model` behind the socket at `path`, and asks the agent what the model takes: it must have one
 * FP32 input, and its first output must be FP32. No answer waits longer than `timeout_ms` for its next byte. NULL only
 * without memory: whether it worked, tacit_agent_error says. */
tacit_agent* tacit_agent_open(const char* path, const char* model, unsigned timeout_ms);

/** What went wrong in the last call of this handle, or NULL where nothing did; until the next call. */
const char* tacit_agent_error(const tacit_agent* agent);

/** The model's metadata, as JSON, as they were when it was opened; NULL where that failed. Lives with the handle. */
const char* tacit_agent_metadata(const tacit_agent* agent);

/** Numbers of one row of the input, and of the first output; 0 where the handle could not be opened. */
size_t tacit_agent_input_size(const tacit_agent* agent);
size_t tacit_agent_output_size(const tacit_agent* agent);

/** Computes the first output for `rows` rows: `input` holds rows * tacit_agent_input_size numbers, `output` takes
 * rows * tacit_agent_output_size. Returns 0, or -1, after which `output` is as it was. */
int tacit_agent_infer(tacit_agent* agent, size_t rows, const float* input, float* output);

/** Ends a handle; NULL is let pass. */
void tacit_agent_close(tacit_agent* agent);

#ifdef __cplusplus
}
#endif

#endif
