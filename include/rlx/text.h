/* rlx/text.h: from text to token ids and back.
 *
 * rlx_tokenizer: a WordPiece tokenizer, as models of the BERT family use it.
 *   Owner:   the creator; rlx_tokenizer_free.
 *   Threads: read-only once loaded: any number at a time.
 *   Errors:  statuses; rlx_last_error() has the sentence. */
#ifndef RLX_TEXT_H
#define RLX_TEXT_H

#include <rlx/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlx_tokenizer rlx_tokenizer;

/* Reads Hugging Face's tokenizer.json, or a folder that holds one, or else vocab.txt and, if it
 * is there, tokenizer_config.json. Of tokenizer.json are known: the normalizer BertNormalizer
 * (or none), the pre-tokenizer BertPreTokenizer, the model WordPiece, the post-processors
 * TemplateProcessing and BertProcessing, the decoder WordPiece, truncation, the padding's token,
 * added tokens; the ids are those of the package `tokenizers`. Errors: RLX_ERROR_UNSUPPORTED for
 * the rest. */
RLX_API RLX_MUST_USE rlx_status rlx_tokenizer_load(const char *path, rlx_tokenizer **out_tokenizer);
RLX_API void rlx_tokenizer_free(rlx_tokenizer *tokenizer);

typedef struct rlx_tokenize_options {
  uint32_t struct_size;
  uint32_t max_tokens; /* longer texts are cut to this, special tokens included; default: as the
                        * files say, UINT32_MAX: never */
  bool plain;          /* without the special tokens around the text */
} rlx_tokenize_options;

/* The ids of one text of `bytes` bytes, as a new i64 vector; `options` may be NULL. It is not
 * padded: a batch is, with rlx_tokenizer_pad. Bytes that are no UTF-8 count as U+FFFD, as they
 * do in Python with errors="replace". */
RLX_API RLX_MUST_USE rlx_status rlx_tokenizer_encode(const rlx_tokenizer *tokenizer,
                                                     const char *text, size_t bytes,
                                                     const rlx_tokenize_options *options,
                                                     rlx_tensor **out_ids);
/* The text of an i64 vector of ids. Ids without a token are left out, and with `skip_special` the
 * special tokens. out_text: rlx_string_free. */
RLX_API RLX_MUST_USE rlx_status rlx_tokenizer_decode(const rlx_tokenizer *tokenizer,
                                                     const rlx_tensor *ids, bool skip_special,
                                                     char **out_text);

/* The length that texts are cut to where the options do not say; 0: they are not cut. */
RLX_API uint32_t rlx_tokenizer_max_tokens(const rlx_tokenizer *tokenizer);
RLX_API int64_t rlx_tokenizer_pad(const rlx_tokenizer *tokenizer); /* the id for padding */
/* The token of an id, NULL if there is none. Owner: the tokenizer. */
RLX_API const char *rlx_tokenizer_token(const rlx_tokenizer *tokenizer, int64_t id);

#ifdef __cplusplus
}
#endif
#endif
