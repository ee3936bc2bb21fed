// How far a model moved from version to version. The server learns no loss and no accuracy: it has no data. What it has
// published can be compared.
import { getBytes } from "./api";

/** The most bytes of models that a page asks for at once. */
export const MOST_BYTES = 16 * 1024 * 1024;
const HEADER_AT = 8;

/** The parameters of a file in safetensors, all of them float32. Source: github.com/huggingface/safetensors, Format. */
export function parametersOf(file: ArrayBuffer): Float32Array {
  const header = Number(new DataView(file).getBigUint64(0, true));
  return new Float32Array(file.slice(HEADER_AT + header));
}

export function distance(from: Float32Array, to: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < to.length; ++at) sum += ((to[at] ?? 0) - (from[at] ?? 0)) ** 2;
  return Math.sqrt(sum);
}

export function modelPath(task: string, version: number | string): string {
  return `/api/v1/tasks/${task}/models/${version}/content`;
}

/** The lengths of the steps to the published versions, each computed once. */
export class StepLengths {
  readonly lengths = new Map<number, number>();
  private last: { version: number; parameters: Float32Array } | null = null;

  constructor(private readonly task: string, private readonly parameters: number,
      private readonly signal: AbortSignal) {}

  /** Whether models are small enough to be asked for by a page. */
  get possible(): boolean {
    return 2 * 4 * this.parameters <= MOST_BYTES;
  }

  /** `versions` ascend, and each follows the one before it. */
  async reach(versions: number[], known: () => void): Promise<void> {
    const room = Math.floor(MOST_BYTES / (4 * this.parameters));
    const fresh = versions.filter((version) => version > (this.last?.version ?? -1)).slice(-room);
    for (const version of fresh) {
      const parameters = parametersOf(await getBytes(modelPath(this.task, version), this.signal));
      const before = this.last;
      this.last = { version, parameters };
      if (before && versions.indexOf(version) === versions.indexOf(before.version) + 1) {
        this.lengths.set(version, distance(before.parameters, parameters));
        known();
      }
    }
  }
}
