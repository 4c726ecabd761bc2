"""What a table asks: YAML -> Spec -> [Case].

Belongs here: the format of a spec, its mistakes with their lines, merging of blocks, and cases with
their keys. Does not: names of classes and their arguments (`build`, `check`), results, torch.
"""

from hwbench.spec.case import Case as Case
from hwbench.spec.case import cases as cases
from hwbench.spec.case import opts_out as opts_out
from hwbench.spec.case import overrides_text as overrides_text
from hwbench.spec.case import resolve as resolve
from hwbench.spec.case import runs_at as runs_at
from hwbench.spec.case import seeds_of as seeds_of
from hwbench.spec.case import variant_of as variant_of
from hwbench.spec.case import variants as variants
from hwbench.spec.case import vary as vary
from hwbench.spec.case import whole_stages as whole_stages
from hwbench.spec.checks import UNKNOWN as UNKNOWN
from hwbench.spec.checks import validation_mistakes as validation_mistakes
from hwbench.spec.checks import validation_problems as validation_problems
from hwbench.spec.coordinates import Coordinates as Coordinates
from hwbench.spec.coordinates import Scalar as Scalar
from hwbench.spec.coordinates import coordinate as coordinate
from hwbench.spec.coordinates import is_value as is_value
from hwbench.spec.coordinates import label as label
from hwbench.spec.coordinates import row_name as row_name
from hwbench.spec.document import Located as Located
from hwbench.spec.document import merge as merge
from hwbench.spec.document import plain as plain
from hwbench.spec.document import read_value as read_value
from hwbench.spec.document import read_yaml as read_yaml
from hwbench.spec.files import find as find
from hwbench.spec.files import json_schema as json_schema
from hwbench.spec.files import load as load
from hwbench.spec.files import locate as locate
from hwbench.spec.files import parse as parse
from hwbench.spec.model import PROFILES as PROFILES
from hwbench.spec.model import Block as Block
from hwbench.spec.model import Blocks as Blocks
from hwbench.spec.model import Calibrate as Calibrate
from hwbench.spec.model import Claim as Claim
from hwbench.spec.model import Defaults as Defaults
from hwbench.spec.model import Figure as Figure
from hwbench.spec.model import FitStage as FitStage
from hwbench.spec.model import Gap as Gap
from hwbench.spec.model import Profile as Profile
from hwbench.spec.model import ProfileBlocks as ProfileBlocks
from hwbench.spec.model import Row as Row
from hwbench.spec.model import Schedule as Schedule
from hwbench.spec.model import Show as Show
from hwbench.spec.model import Spec as Spec
from hwbench.spec.model import SpecId as SpecId
from hwbench.spec.model import Stage as Stage
from hwbench.spec.model import Stop as Stop
from hwbench.spec.model import Within as Within
from hwbench.spec.model import batch_size_of as batch_size_of
from hwbench.spec.problems import Path_ as Path_
from hwbench.spec.problems import Problem as Problem
from hwbench.spec.problems import SpecError as SpecError
from hwbench.spec.problems import UserError as UserError
from hwbench.spec.problems import did_you_mean as did_you_mean
from hwbench.spec.problems import display_path as display_path
from hwbench.spec.problems import dotted as dotted
from hwbench.spec.published import Published as Published
from hwbench.spec.published import Quoted as Quoted
from hwbench.spec.published import Strict as Strict
from hwbench.spec.text import argument_text as argument_text
from hwbench.spec.text import block_text as block_text
