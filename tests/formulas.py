"""The losses, and F, as formulas in NumPy: made apart from the kernels, and slow."""

import numpy as np
from scipy import optimize
from scipy.special import softmax

DEFAULTS = {
    "huber": {"delta": 1.35},
    "quantile": {"quantile": 0.5, "smoothing": 0.1},
    "tweedie": {"power": 1.5},
}


def loss_of(loss, y, eta, **options):
    """Value (n,), slope (n, K) and second derivatives (n, K, K) of each row's loss in its predictors eta, (n, K)."""
    options = DEFAULTS.get(loss, {}) | options
    y = np.asarray(y)
    if loss == "softmax":
        proba, chosen = softmax(eta, axis=1), np.eye(eta.shape[1])[y]
        second = np.eye(eta.shape[1]) * proba[:, :, None] - proba[:, :, None] * proba[:, None, :]
        return -np.log((proba * chosen).sum(axis=1)), proba - chosen, second
    value, slope, second = _one_predictor(loss, y.astype(float), eta[:, 0], **options)
    return value, slope[:, None], second[:, None, None] * np.ones((len(y), 1, 1))


def _one_predictor(loss, y, eta, delta=None, quantile=None, smoothing=None, power=None):
    r = y - eta
    if loss in ("squared", "normal"):
        return r**2 / 2, -r, np.ones(len(y))
    if loss == "huber":
        tail = np.abs(r) > delta
        return np.where(tail, delta * np.abs(r) - delta**2 / 2, r**2 / 2), -np.clip(r, -delta, delta), 1.0 * ~tail
    if loss == "quantile":  # the mean of the pinball loss of r + u, u uniform between -h and h, by antiderivatives

        def mean(antiderivative):
            return (antiderivative(r + smoothing) - antiderivative(r - smoothing)) / (2 * smoothing)

        def tilted(x):
            return quantile - (x < 0)

        return mean(lambda x: tilted(x) * x**2 / 2), -mean(lambda x: tilted(x) * x), mean(tilted)
    if loss == "logistic":
        p = 1 / (1 + np.exp(-eta))
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)), p - y, p * (1 - p)
    if loss == "squared_hinge":
        sign = 2 * y - 1
        gap = np.maximum(1 - sign * eta, 0)
        return gap**2, -2 * sign * gap, 2.0 * (gap > 0)
    mean = np.exp(eta)
    if loss == "poisson":
        return mean - y * eta, mean - y, mean
    if loss == "gamma":
        return y / mean + eta, 1 - y / mean, y / mean
    assert loss == "tweedie"
    above, below = mean ** (2 - power), y * mean ** (1 - power)
    value = above / (2 - power) + below / (power - 1)
    return value, above - below, (2 - power) * above + (power - 1) * below


def least(loss, X, y, l2=0.0, intercept=0.0, **options):
    """F at its minimum by SciPy's trust regions, in columns of one scale, from an intercept."""
    X = np.asarray(X, float)
    spread = X.std(axis=0)
    Z = np.column_stack(((X - X.mean(axis=0)) / spread, np.ones(len(y))))
    pull = np.append(l2 / spread**2, 0.0)

    def value_and_slope(theta):
        value, slope, _ = loss_of(loss, y, (Z @ theta)[:, None], **options)
        return value.mean() + 0.5 * pull @ theta**2, Z.T @ slope[:, 0] / len(y) + pull * theta

    def hessian(theta):
        second = loss_of(loss, y, (Z @ theta)[:, None], **options)[2][:, 0, 0]
        return Z.T @ (second[:, None] * Z) / len(y) + np.diag(pull)

    begin = np.append(np.zeros(X.shape[1]), intercept)
    ends = {"gtol": 1e-12, "maxiter": 500}
    found = optimize.minimize(value_and_slope, begin, jac=True, hess=hessian, method="trust-exact", options=ends)
    return min(found.fun, value_and_slope(begin)[0])


def weights_of_classes(class_weight, y, weight):
    """What the sample weights are multiplied by, row by row."""
    if class_weight is None:
        return np.ones(len(y))
    if class_weight == "balanced":  # as many times as all classes have on average
        of_class = np.array([weight[y == label].sum() for label in y])
        return weight.sum() / (len(set(y.tolist())) * of_class)
    return np.array([class_weight.get(label, 1.0) for label in y.tolist()])


def objective_of(loss, X, y, theta, weight, offset, l2=0.0, intercept=True, **options):
    """F and its gradient; theta is the coefficients, predictor by predictor, and then the intercepts."""
    p = X.shape[1]
    outputs = theta.size // (p + intercept)
    coef, constant = theta[: outputs * p].reshape(outputs, p), theta[outputs * p :] if intercept else 0.0
    value, slope, _ = loss_of(loss, y, X @ coef.T + constant + offset[:, None], **options)
    slope = slope * weight[:, None]
    total = weight.sum()
    grad = (slope.T @ X / total + l2 * coef).ravel()
    if intercept:
        grad = np.append(grad, slope.sum(axis=0) / total)
    return weight @ value / total + l2 / 2 * (coef**2).sum(), grad
