/* Asks a model about one row: example SOCKET MODEL NUMBER... */
#include <stdio.h>
#include <stdlib.h>

#include "tacit_agent.h"

int main(int count, char** arguments) {
  if (count < 4) return 2;
  int code = 1;
  float* input = NULL;
  float* output = NULL;
  tacit_agent* agent = tacit_agent_open(arguments[1], arguments[2], 30000);
  if (agent == NULL || tacit_agent_error(agent) != NULL) goto end;
  const size_t inputs = tacit_agent_input_size(agent);
  const size_t outputs = tacit_agent_output_size(agent);
  input = calloc(inputs, sizeof *input);
  output = calloc(outputs, sizeof *output);
  if (input == NULL || output == NULL) goto end;
  for (size_t i = 0; i < inputs && i + 3 < (size_t)count; ++i) input[i] = strtof(arguments[i + 3], NULL);
  if (tacit_agent_infer(agent, 1, input, output) != 0) goto end;
  for (size_t i = 0; i < outputs; ++i) printf("%g\n", (double)output[i]);
  code = 0;
end:
  if (code != 0) fprintf(stderr, "%s\n", agent == NULL ? "no memory" : tacit_agent_error(agent));
  free(input);
  free(output);
  tacit_agent_close(agent);
  return code;
}
