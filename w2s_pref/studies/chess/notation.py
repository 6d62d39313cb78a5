"""Boards and moves as text: what a model reads of a position, and which move an answer of it means.

Three forms of a prompt. ``position``: the board turned so that White is to move, one word a piece, then the castling
rights and ``>``; the answer is a UCI move on the turned board. ``moves``: the game so far as UCI moves; the answer is
the next one. ``pgn``: the game as somebody else wrote it, with its own answer in SAN.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import chess

from w2s_pref.core.errors import W2SError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Form = Literal["position", "moves", "pgn"]
FORMS: tuple[Form, ...] = get_args(Form)

END = ">"
"""Last word of a position: what follows is the move."""
EN_PASSANT = "ep"
PIECES = "KQRBNPkqrbnp"
"""Order in which the pieces of a position are written; capital letters are the side to move."""

_NOISE = re.compile(r"\{[^}]*\}|\d+\.+|\$\d+|[!?]+|1-0|0-1|1/2-1/2|\*")


def board_of(fen: str, where: str = "the position") -> chess.Board:
    """The board of a FEN.

    Raises:
        W2SError: no FEN, or a position that no game can reach (no king, the waiting side in check …).
    """
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise W2SError(
            f"{where}: {fen!r} is no FEN ({error}); write the six fields of a Forsyth-Edwards line"
        ) from None
    if not board.is_valid():
        raise W2SError(f"{where}: {fen!r} is no legal position ({board.status()!r}); correct or leave out the row")
    return board


def facing(board: chess.Board) -> chess.Board:
    """The same position with White to move: where Black is, colours and ranks are exchanged. Castling sides stay."""
    return board if board.turn == chess.WHITE else board.mirror()


def position_text(board: chess.Board) -> str:
    """White to move: ``Kg1 Qd1 … kg8 … KQ >``, pieces by kind, then rights and, if legal, an en-passant square."""
    placed = {symbol: [""] for symbol in PIECES}
    for square, piece in sorted(board.piece_map().items()):
        placed[piece.symbol()].append(piece.symbol() + chess.SQUARE_NAMES[square])
    words = [word for symbol in PIECES for word in placed[symbol][1:]]
    rights = board.castling_xfen()
    words += [] if rights == "-" else list(rights)
    if board.has_legal_en_passant():
        words += [EN_PASSANT, chess.SQUARE_NAMES[board.ep_square or 0]]
    return " ".join([*words, END])


def moves_text(board: chess.Board) -> str:
    """The game that led to the board as UCI moves: ``e2e4 e7e5 …``."""
    return " ".join(move.uci() for move in board.move_stack)


def read_move(board: chess.Board, text: str) -> str | None:
    """UCI of the legal move that the first word of ``text`` names in UCI or SAN; None for anything else."""
    word = text.split()[0].rstrip("!?") if text.strip() else ""
    for parse in (board.parse_uci, board.parse_san):
        try:
            move = parse(word)
        except ValueError:
            continue
        return move.uci() if move else None
    return None


def replay(game: str, where: str = "the game") -> chess.Board:
    """The board after a game written in SAN or UCI, with or without numbers (``1. e4 1... e5``), comments, results.

    Raises:
        W2SError: a word that is no legal move where it stands.
    """
    board = chess.Board()
    for number, word in enumerate(_NOISE.sub(" ", game).split(), start=1):
        uci = read_move(board, word)
        if uci is None:
            raise W2SError(
                f"{where}: half-move {number}, {word!r}, is no legal move in {board.fen()!r}; correct or drop"
            )
        board.push_uci(uci)
    return board


def turned(move: chess.Move) -> chess.Move:
    """The move on the mirrored board."""
    return chess.Move(
        chess.square_mirror(move.from_square), chess.square_mirror(move.to_square), promotion=move.promotion
    )


PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
MAX_LENGTH = 256
"""Longest text; a position with its move has at most 43 tokens, a game two or three a half-move."""

_WORDS = rf"[{PIECES}][a-h][1-8]|[a-h][1-8]|{EN_PASSANT}|{PAD}|{BOS}|{EOS}|\S"
"""A piece before a bare square: no UCI move has a piece's letter before a square, so the two never mix."""


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Token -> id. Letters are castling rights (``K``, ``q``) or what a pawn becomes (``q``)."""
    known = [PAD, BOS, EOS, UNK, END, EN_PASSANT, *chess.SQUARE_NAMES, *"KQkqrbn"]
    for piece in PIECES:
        known += [piece + square for square in chess.SQUARE_NAMES if piece not in "Pp" or square[1] not in "18"]
    return {word: number for number, word in enumerate(known)}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer as the ordinary library class; it adds no special token itself and joins words without spaces."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel(vocab=vocabulary(), unk_token=UNK))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNK, model_max_length=MAX_LENGTH
    )
