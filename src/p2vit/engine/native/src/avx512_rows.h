// Row-wise kernels of the AVX-512 set; defined in the file of each operator, gathered into the set in avx512_gemm.cpp.
#pragma once

#include "kernels.h"

namespace p2vit::avx512 {

void layernorm(const LayerNormRows& p);
uint32_t softmax(const SoftmaxRow& p);
void quotient(const QuotientRow& p);

}   // namespace p2vit::avx512
