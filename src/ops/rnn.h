/* ops/rnn.h: what recurrent cells and their ONNX importer share. */
#ifndef OPS_RNN_H
#define OPS_RNN_H

#include "mlx/shim.h"

/* A function of a gate or candidate. Of its parameters a and b it uses the first n_params. */
typedef struct rnn_function {
  const char *word, *onnx; /* in attributes of ours and of ONNX */
  size_t n_params;
  double a, b; /* where they are not given */
  double (*real)(double x, double a, double b);
  mx (*mlx)(mx_ctx *m, mx x, double a, double b);
} rnn_function;

/* All of them; the last has no word. */
extern const rnn_function rnn_functions[];

#endif
