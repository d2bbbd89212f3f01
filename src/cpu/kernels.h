/* cpu/kernels.h: the door of this folder for operations: all kernels, and what they share. */
#ifndef CPU_KERNELS_H
#define CPU_KERNELS_H

#include "cpu/attention.h"
#include "cpu/conv.h"
#include "cpu/copy.h"
#include "cpu/cpu.h"
#include "cpu/gemm.h"
#include "cpu/gemm_int.h"
#include "cpu/index.h"
#include "cpu/norm.h"
#include "cpu/order.h"
#include "cpu/places.h"
#include "cpu/pool.h"
#include "cpu/quantize.h"
#include "cpu/reduce.h"
#include "cpu/rnn.h"
#include "cpu/rows.h"
#include "cpu/tile.h"

#endif
