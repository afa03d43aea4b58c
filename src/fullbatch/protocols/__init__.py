"""The few words that engines, models and solvers share: requests, answers, rows, and who answers what.

A solver says what it wants to know; that request travels unchanged to every block, and every answer is a sum
over rows that adds up. Everything in the package may import this room; it imports numpy alone.
"""

from .answers import Curves, Eval, Matrix, Point, Product, RowCurvature, Sample, SampleSums, SquareSums
from .requests import (
    Curvature,
    DrawnValueGrad,
    HessVec,
    Request,
    RowSample,
    SampleGrams,
    Squares,
    ValueGrad,
)
from .rows import Array, Category, Rows, Size, Source
from .seams import Block, Blocks, ChangeOfVariables, Engine, Facts, Model, Parameters, Solver, State, Steps

__all__ = [
    "Array",
    "Block",
    "Blocks",
    "Category",
    "ChangeOfVariables",
    "Curvature",
    "Curves",
    "DrawnValueGrad",
    "Engine",
    "Eval",
    "Facts",
    "HessVec",
    "Matrix",
    "Model",
    "Parameters",
    "Point",
    "Product",
    "Request",
    "RowCurvature",
    "RowSample",
    "Rows",
    "Sample",
    "SampleGrams",
    "SampleSums",
    "Size",
    "Solver",
    "Source",
    "SquareSums",
    "Squares",
    "State",
    "Steps",
    "ValueGrad",
]
