/* rlx/models.h: families of models, built from a folder in Hugging Face's layout.
 *
 * Encoders are the BERT family: MiniLM, BGE, E5 and others that turn a text into one vector. The
 * folder holds model.safetensors with BERT's names (sizes come from the tensors) and a tokenizer
 * as rlx_tokenizer_load reads it. These files may be missing: config.json (heads, activation,
 * epsilon, layers), modules.json and 1_Pooling/config.json (pooling and norm),
 * sentence_bert_config.json (the longest text). */
#ifndef RLX_MODELS_H
#define RLX_MODELS_H

#include <rlx/exec.h>
#include <rlx/text.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rlx_pooling {
  RLX_POOLING_DEFAULT = 0, /* what the folder says, else the mean */
  RLX_POOLING_MEAN,        /* of the hidden states of all tokens */
  RLX_POOLING_CLS,         /* the hidden state of the first token */
  RLX_POOLING_NONE         /* none: a hidden state for each token (rlx_encoder_graph only) */
} rlx_pooling;

typedef struct rlx_encoder_options {
  uint32_t struct_size;
  rlx_pooling pooling;
  bool keep_norm;      /* do not scale vectors to norm 1, whatever the folder says */
  uint32_t heads;      /* default: config.json's; without it 12 if 384 wide, else one per 64 */
  uint32_t max_tokens; /* cut texts to this; default: as the folder says */
  uint32_t batch;      /* texts in one run, default 32 */
  const rlx_exec_options *exec; /* may be NULL */
} rlx_encoder_options;

/* Builds the graph of an encoder: inputs input_ids, attention_mask and token_type_ids, each
 * i64[batch,tokens]; output "embedding", f32[batch,width], or with RLX_POOLING_NONE
 * "last_hidden_state", f32[batch,tokens,width]. out_params: a tensor for each param of the graph,
 * which refers to the mapped file. Both are the caller's. `options` may be NULL. */
RLX_API RLX_MUST_USE rlx_status rlx_encoder_graph(const char *folder,
                                                  const rlx_encoder_options *options,
                                                  rlx_graph **out_graph, rlx_tensors **out_params);

/* rlx_encoder: a tokenizer and an executable.
 *   Owner:   the creator; rlx_encoder_free.
 *   Threads: any number at a time.
 *   Errors:  statuses. */
typedef struct rlx_encoder rlx_encoder;

/* From a folder as above, or from an ONNX file with those inputs and a tokenizer beside it. */
RLX_API RLX_MUST_USE rlx_status rlx_encoder_load(const char *path,
                                                 const rlx_encoder_options *options,
                                                 rlx_encoder **out_encoder);
RLX_API void rlx_encoder_free(rlx_encoder *encoder);
/* One vector per text: f32[n,width]. Texts run in batches of similar length; a vector does not
 * depend on the texts beside it beyond rounding. */
RLX_API RLX_MUST_USE rlx_status rlx_encoder_embed(const rlx_encoder *encoder,
                                                  const char *const *texts, size_t n,
                                                  rlx_tensor **out_vectors);

#ifdef __cplusplus
}
#endif
#endif
