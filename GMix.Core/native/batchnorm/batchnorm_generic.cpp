// Batch normalisation with the instructions that every processor of the family has.
#define GMX_TABLE generic
#include "batchnorm_kernels.inl"
