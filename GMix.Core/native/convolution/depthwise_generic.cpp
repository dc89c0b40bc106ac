// Depthwise convolution with the instructions that every processor of the family has.
#define GMX_TABLE generic
#define GMX_WIDEST 8
#include "depthwise_kernels.inl"
