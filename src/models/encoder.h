/* models/encoder.h: what the files of an encoder share. src/models builds on the public API; from
 * inside the library it takes only text/json.h, with the statuses that come with it. */
#ifndef MODELS_ENCODER_H
#define MODELS_ENCODER_H

#include <rlx/models.h>

/* How a folder wants vectors made, with the options laid over it. */
typedef struct encoder_habits {
  rlx_pooling pooling; /* not DEFAULT */
  bool normalize;
  uint32_t max_tokens; /* 0: as the tokenizer's files say */
} encoder_habits;
/* `options` have been read and are not NULL. */
rlx_status encoder_habits_read(const char *folder, const rlx_encoder_options *options,
                               encoder_habits *out);

/* Adds pooling and norm to hidden states [batch,tokens,width]. */
rlx_val encoder_pool(rlx_graph *g, rlx_val states, rlx_val mask, const encoder_habits *habits);

/* The same as rlx_encoder_graph, with habits that have been read; *out_positions is the longest
 * text that the model takes. */
rlx_status bert_build(const char *folder, uint32_t heads, const encoder_habits *habits,
                      rlx_graph **out_graph, rlx_tensors **out_params, uint32_t *out_positions);

#endif
