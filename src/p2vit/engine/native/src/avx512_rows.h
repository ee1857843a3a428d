// Row-wise kernels of the AVX-512 set. Each is defined in its operator's file; avx512_gemm.cpp lists them in the set.
#pragma once

#include "kernels.h"

namespace p2vit::avx512 {

void layernorm(const LayerNormRows& p);
uint32_t softmax(const SoftmaxRow& p);
void quotient(const QuotientRow& p);

}   // namespace p2vit::avx512
