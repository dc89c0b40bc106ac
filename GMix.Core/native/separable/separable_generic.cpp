// Depthwise convolution between batch normalisations with the instructions that every processor of the family has.
#define GMX_TABLE generic
#include "separable_kernels.inl"
