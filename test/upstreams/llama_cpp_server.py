"""llama.cpp's own server with a model that is made on the spot: `llama_cpp_server.py SLOTS CONTEXT [KEY…]`.

Prints `listening on http://HOST:PORT` and serves until its standard input ends. Without keys it lets everybody in.

The model is a llama whose only layer does nothing: what comes next depends on the last token alone. After the mark of the
assistant's turn that is SENTENCE, token by token, and the end. So its answers are known although the server is real.
"""

import sys
import tempfile
from pathlib import Path

import gguf
import numpy
import xllamacpp

# Each token once, as each has one successor. The animal is four bytes, which only together are a character.
SENTENCE = ["Kangaroos", " hop", " on", " two", " legs", " ", b"\xf0", b"\x9f", b"\xa6", b"\x98", ",", " say", " they", " in", " café", "."]

# Ends in another mark where there are tools and none has been used yet: then the model begins a call, and the server's grammar
# writes the rest of it. The server finds out by this template how the model calls.
TEMPLATE = """
{%- if tools %}
{{- '<|system|>You may call these functions: ' }}
{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}
{{- '</s>' }}
{%- endif %}
{%- for message in messages %}
{{- '<|' + message.role + '|>' }}
{%- if message.content %}{{- message.content }}{%- endif %}
{%- if message.tool_calls %}
{%- for call in message.tool_calls %}
{{- '<tool_call>{"name": "' }}{{- call.function.name }}{{- '", "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}</tool_call>' }}
{%- endfor %}
{%- endif %}
{{- '</s>' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|caller|>' if tools and messages[-1].role != 'tool' else '<|assistant|>' }}
{%- endif %}
""".strip()
MARKS = [f"<|{role}|>" for role in ("system", "developer", "user", "assistant", "caller", "tool")]
# Where the grammar lets it, the model ends its call as soon as a brace is closed.
CALL = [["<|caller|>", "<tool_call>", "{"], ["}", "</tool_call>", "</s>"]]
WIDTH = 64


def in_vocabulary(token):
    """A token of the sentence as vocabularies of this kind have it."""
    return f"<0x{token[0]:02X}>" if isinstance(token, bytes) else token.replace(" ", "\u2581")


def vocabulary():
    """All tokens with their kinds: marks, bytes, characters, and the words of the sentence."""
    kind = gguf.TokenType
    tokens = {"<unk>": kind.UNKNOWN, "<s>": kind.CONTROL, "</s>": kind.CONTROL}
    tokens |= {mark: kind.CONTROL for mark in MARKS}
    tokens |= {f"<0x{byte:02X}>": kind.BYTE for byte in range(256)}
    tokens |= {in_vocabulary(chr(code)): kind.NORMAL for code in range(32, 127)}
    tokens |= {in_vocabulary(word): kind.NORMAL for word in ["<tool_call>", "</tool_call>", *SENTENCE] if isinstance(word, str)}
    return tokens


def weights(tokens):
    """What the model says after each token: what a chain says, or anything."""
    ids = {token: index for index, token in enumerate(tokens)}
    chance = numpy.random.default_rng(1)
    embeddings = chance.standard_normal((len(tokens), WIDTH)).astype(numpy.float32)
    embeddings /= numpy.linalg.norm(embeddings, axis=1, keepdims=True)
    output = 0.02 * chance.standard_normal((len(tokens), WIDTH)).astype(numpy.float32)
    for chain in [["<|assistant|>", *map(in_vocabulary, SENTENCE), "</s>"], *CALL]:
        for token, following in zip(chain, chain[1:]):
            output[ids[following]] += 4 * embeddings[ids[token]]
    return embeddings, output


def write_model(path, context):
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(tokens))
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(list(tokens.values()))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)
    embeddings, output = weights(tokens)
    ones, zeros = numpy.ones(WIDTH, numpy.float32), numpy.zeros((WIDTH, WIDTH), numpy.float32)
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", ones)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", ones)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", zeros)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    slots, context, *keys = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "kangaroo.gguf"
        write_model(model, int(context))
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(model)
        parameters.model_alias = {"kangaroo"}
        parameters.n_parallel = int(slots)
        parameters.n_ctx = int(slots) * int(context)
        parameters.port = 0
        parameters.api_keys = keys
        parameters.cpuparams.n_threads = 1
        parameters.sampling.temp = 0.0
        # An answer that is told not to end goes on for as long as somebody listens.
        parameters.ctx_shift = True
        server = xllamacpp.Server(parameters)
        print(f"listening on {server.listening_address}", flush=True)
        sys.stdin.read()
        del server


main()
