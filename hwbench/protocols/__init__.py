"""What rules and evaluators may ask of a model, and what the runner may ask of every shelf.

Belongs here: abstract classes and the values that they exchange, one family to a file. Does not:
anything that computes a number of a paper (the shelves), nor names as text (`build`). Code of a
class counts in the fingerprint of every case that uses it.

Dims: K samples, B points of a batch, N points of a split, D observed units.
"""

from hwbench.protocols.angular import AngularModel as AngularModel
from hwbench.protocols.boltzmann import Autoencoder as Autoencoder
from hwbench.protocols.boltzmann import BoltzmannMachine as BoltzmannMachine
from hwbench.protocols.boltzmann import BoltzmannStack as BoltzmannStack
from hwbench.protocols.boltzmann import Couplings as Couplings
from hwbench.protocols.boltzmann import DeepBoltzmannMachine as DeepBoltzmannMachine
from hwbench.protocols.boltzmann import EnergyModel as EnergyModel
from hwbench.protocols.boltzmann import RealEnergyModel as RealEnergyModel
from hwbench.protocols.boltzmann import Stack as Stack
from hwbench.protocols.classifiers import Classifier as Classifier
from hwbench.protocols.classifiers import KernelClassifier as KernelClassifier
from hwbench.protocols.classifiers import NeighbourClassifier as NeighbourClassifier
from hwbench.protocols.classifiers import Network as Network
from hwbench.protocols.classifiers import labels_of as labels_of
from hwbench.protocols.completion import Completer as Completer
from hwbench.protocols.completion import Half as Half
from hwbench.protocols.completion import NeighbourCompleter as NeighbourCompleter
from hwbench.protocols.completion import Size as Size
from hwbench.protocols.completion import half_of as half_of
from hwbench.protocols.data import DataMissing as DataMissing
from hwbench.protocols.data import Dataset as Dataset
from hwbench.protocols.data import HeldOut as HeldOut
from hwbench.protocols.data import PartlyLabelledSplit as PartlyLabelledSplit
from hwbench.protocols.data import Pixels as Pixels
from hwbench.protocols.data import S as S
from hwbench.protocols.data import Split as Split
from hwbench.protocols.data import Splits as Splits
from hwbench.protocols.data import T as T
from hwbench.protocols.data import TestSplit as TestSplit
from hwbench.protocols.data import TrainSplit as TrainSplit
from hwbench.protocols.data import ValidationSplit as ValidationSplit
from hwbench.protocols.data import labelled_part as labelled_part
from hwbench.protocols.dreamers import ConditionalDreamer as ConditionalDreamer
from hwbench.protocols.dreamers import Dreamer as Dreamer
from hwbench.protocols.dreamers import ExactDreamer as ExactDreamer
from hwbench.protocols.dreamers import ExponentialDreamer as ExponentialDreamer
from hwbench.protocols.dreamers import GaussianDreamer as GaussianDreamer
from hwbench.protocols.dreamers import LogJointRule as LogJointRule
from hwbench.protocols.evaluators import Curve as Curve
from hwbench.protocols.evaluators import Evaluation as Evaluation
from hwbench.protocols.evaluators import Evaluator as Evaluator
from hwbench.protocols.evaluators import Metric as Metric
from hwbench.protocols.evaluators import PicturingEvaluator as PicturingEvaluator
from hwbench.protocols.factors import FactorModel as FactorModel
from hwbench.protocols.factors import PriorModel as PriorModel
from hwbench.protocols.helmholtz import BeliefNetwork as BeliefNetwork
from hwbench.protocols.helmholtz import Gaussian as Gaussian
from hwbench.protocols.helmholtz import GaussianHelmholtzMachine as GaussianHelmholtzMachine
from hwbench.protocols.helmholtz import HelmholtzMachine as HelmholtzMachine
from hwbench.protocols.helmholtz import Inferred as Inferred
from hwbench.protocols.models import Density as Density
from hwbench.protocols.models import GenerativeModel as GenerativeModel
from hwbench.protocols.models import Latents as Latents
from hwbench.protocols.models import Mixture as Mixture
from hwbench.protocols.models import Model as Model
from hwbench.protocols.models import SequenceModel as SequenceModel
from hwbench.protocols.rules import Fit as Fit
from hwbench.protocols.rules import ForModels as ForModels
from hwbench.protocols.rules import M as M
from hwbench.protocols.rules import Precision as Precision
from hwbench.protocols.rules import Rule as Rule
from hwbench.protocols.runs import Diverged as Diverged
from hwbench.protocols.runs import Hooks as Hooks
from hwbench.protocols.runs import Interrupted as Interrupted
from hwbench.protocols.runs import Scratch as Scratch
from hwbench.protocols.text_to_image import TextToImageModel as TextToImageModel
