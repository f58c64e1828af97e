"""Training through signs: the straight-through estimator and the scaled binary convolution.

Activations.  s = sign(x). Its derivative is 0 almost everywhere, so the backward pass uses that of the hard tanh
instead (clipped straight-through estimator, Hubara et al. 2016):   dL/dx = dL/ds where -1 < x < 1, else 0.

Weights.  A filter W with n = kH kW C latent real weights acts as alpha sign(W) with alpha = mean |W|, the best such
approximation of W in the least-squares sense (XNOR-Net, Rastegari et al. 2016, section 3.1). The gradient follows
their equation

    dL/dW_i = dL/dW~_i (1 / n + alpha [-1 < W_i < 1])        with W~ = alpha sign(W)

where [condition] is 1 if the condition holds and 0 if not.

Forward.  Y = alpha (sign(X) * sign(W)). What is scaled, sign(X) * sign(W), is a sum of +1 and -1 and so an integer. It
is computed exactly both ways: by a real convolution of +1.0 and -1.0 (float32 holds integers up to 2^24 exactly), or by
packed bits. The scale follows once, so the two ways agree to the last bit.
"""
