/** Returns the path of a file of the example program. */
export function exampleFile(name: string): string {
  return new URL(`../../../examples/generate-game/${name}`, import.meta.url).pathname;
}
