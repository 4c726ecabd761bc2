"""Names that evaluators, rules and the learner promise, and that other rooms read.

Shelves and `learner` write these names out, since results rest on their code; whoever else needs
one takes it from here.
"""

# --- metrics --------------------------------------------------------------------------------------
LOG_LIKELIHOOD = "log_likelihood"  # mean log p(x) over test points, in nats
NLL = "nll"  # minus that
ELBO = "elbo"  # mean variational bound on log p(x), in nats
ERROR = "error"  # share of points classified wrongly, from 0 to 1
ACCURACY = "accuracy"  # share of points classified correctly, from 0 to 1
IN_NATS = (LOG_LIKELIHOOD, NLL, ELBO, "bound", "looseness")

# --- arrays, one value per test point -------------------------------------------------------------
LOG_PX = "log_px"  # log p(x), the terms of LOG_LIKELIHOOD and, negated, of NLL
LOG_PX_MEAN_WEIGHTS = "log_px_mean_weights"  # the same under the means of random weights; not kept
CORRECT = "correct"  # 1 where the class is right: the terms of ACCURACY, and of 1 − ERROR
SAMPLES = "samples"  # images drawn from the model, [N, height · width], 0 to 255; no test points
CAPTIONS = "_captions"  # suffix of a name of images: the text of each line, bytes padded with 0

# --- diagnostics ----------------------------------------------------------------------------------
LOG_Z = "log_z"  # estimate of log Z by annealing upwards, from below
LOG_Z_HIGH = "log_z_high"  # upper end of its 3σ interval
LOG_Z_REVERSE_LOW = "log_z_reverse_low"  # lower end of the interval of annealing downwards
PARETO_K_BAD = "pareto_k_above_0.7"  # share of points whose importance weights are unreliable
IMAGE_HEIGHT = "image_height"  # pixels of SAMPLES
IMAGE_WIDTH = "image_width"

# --- curves ---------------------------------------------------------------------------------------
K_CURVE = "k_curve"  # estimate of the log-likelihood against the number of samples K
TRAIN = "train/"  # what is noted while training, by epoch
TRAIN_OBJECTIVE = "train/objective"  # the rule's loss
OBJECTIVES = {  # of rules whose objective may be taken for something else
    "kernel.AmortisedLearning": "an estimated log joint, which is no likelihood",
}
VALIDATION = "validation/"  # a metric on validation points, by epoch
CHOSEN = "chosen/"  # what a fit chose; its other curves are over candidates, not epochs
STAGE_ENDS = "stage_ends"  # epochs at which stages end; not kept

# The array whose mean is a metric, up to its sign.
TERMS = {LOG_LIKELIHOOD: LOG_PX, NLL: LOG_PX}
